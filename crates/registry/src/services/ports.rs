//! Node ports: which ports of a Service need one, and which they get.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use object::Value;
use object::field::{self, Path};

/// Upstream: a lower band is left for ports that users ask for by number, until the rest is used up.
fn static_band(range: &RangeInclusive<u16>) -> u16 {
    let len = range.end() - range.start() + 1;
    if len < 32 { 0 } else { (len / 32).clamp(16, 128) }
}

/// Gives each port that needs one a node port, keeping those that are set.
///
/// Upstream: ports of one number, which differ by protocol, share a node port while a Service is new; an update gives each its own,
/// and takes any number twice that it finds set twice.
pub(crate) fn allot(
    service: &mut Value,
    is_new: bool,
    range: &RangeInclusive<u16>,
    random: u64,
    is_taken: &dyn Fn(u16) -> bool,
) -> Result<(), Vec<field::Error>> {
    let needs_all = needs_node_ports(service);
    let mut own: Vec<u16> = Vec::new();
    let health = service["spec"]["healthCheckNodePort"].as_u64().unwrap_or(0);
    if health != 0 {
        own.push(check(health, range, &own, is_taken, &Path::new("spec").child("healthCheckNodePort"))?);
    }
    let Some(ports) = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else { return Ok(()) };
    let mut by_number: BTreeMap<u64, u16> = BTreeMap::new();
    for i in 0..ports.len() {
        let number = ports[i]["port"].as_u64().unwrap_or(0);
        let shared = by_number.get(&number).copied().filter(|_| is_new);
        let wanted = match (node_port(&ports[i]), shared) {
            (0, _) if !needs_all => continue,
            (0, Some(shared)) => u64::from(shared),
            (0, None) if is_new => ports[i..].iter().filter(|p| p["port"] == number).map(node_port).find(|n| *n != 0).unwrap_or(0),
            (asked, _) => asked,
        };
        let path = Path::new("spec").child("ports").index(i).child("nodePort");
        let is_held = |n: u16| if is_new { shared == Some(n) } else { own.contains(&n) };
        let port = match u16::try_from(wanted) {
            Ok(0) => free(range, random.wrapping_add(i as u64 * 7_919), &own, is_taken).ok_or_else(|| {
                let fault = field::Error::required(&path, "failed to allocate a nodePort: range is full");
                vec![field::Error { fault: field::Fault::Internal, ..fault }]
            })?,
            Ok(wanted) if is_held(wanted) => wanted,
            _ => check(wanted, range, &own, is_taken, &path)?,
        };
        own.push(port);
        by_number.entry(number).or_insert(port);
        ports[i]["nodePort"] = Value::from(port);
    }
    Ok(())
}

fn node_port(port: &Value) -> u64 {
    port["nodePort"].as_u64().unwrap_or(0)
}

/// Gives a Service the port at which load balancers ask a node whether it has a pod of it. Before validation, which wants it.
pub(crate) fn allot_health(service: &mut Value, range: &RangeInclusive<u16>, random: u64, is_taken: &dyn Fn(u16) -> bool) {
    if !needs_health_port(service) || service["spec"]["healthCheckNodePort"].as_u64().unwrap_or(0) != 0 {
        return;
    }
    let asked = service["spec"]["ports"].as_array().into_iter().flatten().map(node_port);
    let own: Vec<u16> = asked.filter_map(|port| u16::try_from(port).ok()).collect();
    if let Some(port) = free(range, random, &own, is_taken) {
        service["spec"]["healthCheckNodePort"] = Value::from(port);
    }
}

fn needs_node_ports(service: &Value) -> bool {
    match service["spec"]["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => service["spec"]["allocateLoadBalancerNodePorts"].as_bool().unwrap_or(true),
        _ => false,
    }
}

fn needs_health_port(service: &Value) -> bool {
    service["spec"]["type"] == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

fn check(
    asked: u64,
    range: &RangeInclusive<u16>,
    own: &[u16],
    is_taken: &dyn Fn(u16) -> bool,
    path: &Path,
) -> Result<u16, Vec<field::Error>> {
    let invalid = |text: String| vec![field::Error::invalid(path, asked, text)];
    let port = u16::try_from(asked).ok().filter(|p| range.contains(p)).ok_or_else(|| {
        invalid(format!("provided port is not in the valid range. The range of valid ports is {}-{}", range.start(), range.end()))
    })?;
    if own.contains(&port) || is_taken(port) {
        return Err(invalid("provided port is already allocated".to_owned()));
    }
    Ok(port)
}

fn free(range: &RangeInclusive<u16>, random: u64, own: &[u16], is_taken: &dyn Fn(u16) -> bool) -> Option<u16> {
    let first = range.start() + static_band(range);
    let n_upper = u64::from(range.end() - first) + 1;
    let upper = (0..n_upper).map(|i| first + ((random % n_upper + i) % n_upper) as u16);
    upper.chain(*range.start()..first).find(|port| !own.contains(port) && !is_taken(*port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TAKEN: u16 = 30_009;

    /// Ports are number, protocol and node port.
    #[track_caller]
    fn check(is_new: bool, ports: &[(u16, &str, u16)], wanted: Result<&[u64], &str>) {
        let port = |(number, protocol, asked): &(u16, &str, u16)| json!({"port": number, "protocol": protocol, "nodePort": asked});
        let mut service = json!({"spec": {"type": "NodePort", "ports": ports.iter().map(port).collect::<Vec<_>>()}});
        let given = allot(&mut service, is_new, &(30_000..=TAKEN), 0, &|port| port == TAKEN);
        let given = given.map_err(|faults| format!("{}: {}", faults[0].path, faults[0].detail));
        let given = given.map(|()| service["spec"]["ports"].as_array().unwrap().iter().map(node_port).collect::<Vec<_>>());
        assert_eq!(given, wanted.map(<[u64]>::to_vec).map_err(str::to_owned));
    }

    #[test]
    fn node_ports_are_kept_shared_or_refused() {
        check(true, &[(80, "TCP", 0), (80, "UDP", 0), (81, "TCP", 0)], Ok(&[30_000, 30_000, 30_008]));
        check(true, &[(80, "TCP", 0), (80, "UDP", 30_005)], Ok(&[30_005, 30_005]));
        check(true, &[(80, "TCP", 30_004), (80, "UDP", 30_005)], Ok(&[30_004, 30_005]));
        let twice = [(80, "TCP", 30_005), (81, "UDP", 30_005)];
        check(true, &twice, Err("spec.ports[1].nodePort: provided port is already allocated"));
        check(false, &twice, Ok(&[30_005, 30_005]));
        check(false, &[(80, "TCP", 0), (80, "UDP", 0)], Ok(&[30_000, 30_001]));
        for is_new in [true, false] {
            check(is_new, &[(80, "TCP", TAKEN)], Err("spec.ports[0].nodePort: provided port is already allocated"));
            let out = "provided port is not in the valid range. The range of valid ports is 30000-30009";
            check(is_new, &[(80, "TCP", 80)], Err(&format!("spec.ports[0].nodePort: {out}")));
        }
    }
}
