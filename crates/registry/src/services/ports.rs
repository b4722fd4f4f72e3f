//! Node ports: which ports of a Service need one, and which they get.

use std::ops::RangeInclusive;

use object::Value;
use object::field::{self, Path};

/// Upstream: a lower band is left for ports that users ask for by number, until the rest is used up.
fn static_band(range: &RangeInclusive<u16>) -> u16 {
    let len = range.end() - range.start() + 1;
    if len < 32 { 0 } else { (len / 32).clamp(16, 128) }
}

/// Gives each port that needs one a node port, keeping those that are set; the same number on two protocols counts once.
pub(crate) fn allot(
    service: &mut Value,
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
    let path = Path::new("spec").child("ports");
    let n_ports = service["spec"]["ports"].as_array().map_or(0, Vec::len);
    for i in 0..n_ports {
        let asked = service["spec"]["ports"][i]["nodePort"].as_u64().unwrap_or(0);
        if asked == 0 {
            continue;
        }
        let port = check(asked, range, &own, is_taken, &path.index(i).child("nodePort"))?;
        own.push(port);
    }
    for i in 0..n_ports {
        if !needs_all || service["spec"]["ports"][i]["nodePort"].as_u64().unwrap_or(0) != 0 {
            continue;
        }
        // Upstream: the same port number on another protocol shares the node port.
        let number = service["spec"]["ports"][i]["port"].clone();
        let protocol = service["spec"]["ports"][i]["protocol"].clone();
        let ports = service["spec"]["ports"].as_array().expect("counted above");
        let shared = ports[..i].iter().find(|p| p["port"] == number && p["protocol"] != protocol).and_then(|p| p["nodePort"].as_u64());
        let used_with_protocol = |n: u64| ports.iter().any(|p| p["nodePort"].as_u64() == Some(n) && p["protocol"] == protocol);
        let port = match shared.filter(|n| !used_with_protocol(*n)).and_then(|n| u16::try_from(n).ok()) {
            Some(port) => port,
            None => free(range, random.wrapping_add(i as u64 * 7_919), &own, is_taken).ok_or_else(|| {
                vec![field::Error {
                    fault: field::Fault::Internal,
                    ..field::Error::required(&path.index(i).child("nodePort"), "failed to allocate a nodePort: range is full")
                }]
            })?,
        };
        own.push(port);
        service["spec"]["ports"][i]["nodePort"] = Value::from(port);
    }
    Ok(())
}

/// Gives a Service the port at which load balancers ask a node whether it has a pod of it. Before validation, which wants it.
pub(crate) fn allot_health(service: &mut Value, range: &RangeInclusive<u16>, random: u64, is_taken: &dyn Fn(u16) -> bool) {
    if !needs_health_port(service) || service["spec"]["healthCheckNodePort"].as_u64().unwrap_or(0) != 0 {
        return;
    }
    let asked = service["spec"]["ports"].as_array().into_iter().flatten().filter_map(|port| port["nodePort"].as_u64());
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
    if !own.contains(&port) && is_taken(port) {
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
