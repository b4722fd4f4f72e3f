//! Node ports: which ports of a Service need one, and which they get.

use std::collections::HashMap;

use object::field::{Error, Path};
use serde_json::Value;

use super::{Pool, Refusal, kind};

/// Where upstream's dry runs count from.
const DRY_RUN_BASE: i64 = 32_768;

/// The ports that one write takes.
struct Taking<'a> {
    pool: &'a Pool<'a>,
    own: Vec<i64>,
}

impl Taking<'_> {
    fn take(&mut self, asked: i64) -> Result<(), String> {
        let range = &self.pool.settings.node_ports;
        let port = u16::try_from(asked).ok();
        if !self.pool.is_dry_run && port.is_none_or(|port| !range.contains(&port)) {
            return Err(format!("provided port is not in the valid range. The range of valid ports is {}-{}", range.start(), range.end()));
        }
        if self.own.contains(&asked) || port.is_some_and(self.pool.is_port_taken) {
            return Err("provided port is already allocated".to_owned());
        }
        self.own.push(asked);
        Ok(())
    }

    fn next(&mut self) -> Option<i64> {
        let port = match self.pool.is_dry_run {
            true => self.own.iter().max().unwrap_or(&DRY_RUN_BASE) + 1,
            false => i64::from(self.free()?),
        };
        self.own.push(port);
        Some(port)
    }

    fn free(&self) -> Option<u16> {
        let range = &self.pool.settings.node_ports;
        let n_ports = range.end() - range.start() + 1;
        // Upstream: a lower band is left for ports that users ask for by number, until the rest is used up.
        let n_lower = if n_ports < 32 { 0 } else { (n_ports / 32).clamp(16, 128) };
        let (first, n_upper) = (range.start() + n_lower, u64::from(n_ports - n_lower));
        let start = (self.pool.random)() % n_upper;
        let upper = (0..n_upper).map(|i| first + ((start + i) % n_upper) as u16);
        upper.chain(*range.start()..first).find(|port| !self.own.contains(&i64::from(*port)) && !(self.pool.is_port_taken)(*port))
    }
}

pub(super) fn allot(pool: &Pool<'_>, old: Option<&Value>, new: &mut Value) -> Result<(), Refusal> {
    let mut taking = Taking { pool, own: Vec::new() };
    if matches!(kind(new), "NodePort" | "LoadBalancer") {
        match old {
            None => begin(new, &mut taking)?,
            Some(old) => change(old, new, &mut taking)?,
        }
    }
    if needs_health_port(new) && !old.is_some_and(needs_health_port) {
        allot_health(new, &mut taking)?;
    }
    Ok(())
}

fn ports_mut(service: &mut Value) -> &mut [Value] {
    service.pointer_mut("/spec/ports").and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

fn node_port(port: &Value) -> i64 {
    port["nodePort"].as_i64().unwrap_or(0)
}

fn refused(i: usize, asked: i64, cause: String) -> Refusal {
    Refusal::at(Error::invalid(&Path::new("spec").child("ports").index(i).child("nodePort"), asked, cause))
}

fn is_full() -> Refusal {
    Refusal::Internal("failed to allocate a nodePort: range is full".to_owned())
}

/// Of a new Service. Ports of one number, which differ by protocol, share a node port.
fn begin(service: &mut Value, taking: &mut Taking<'_>) -> Result<(), Refusal> {
    let needs_all = needs_node_ports(service);
    let ports = ports_mut(service);
    let mut by_number: HashMap<i64, i64> = HashMap::new();
    for i in 0..ports.len() {
        let (number, asked) = (ports[i]["port"].as_i64().unwrap_or(0), node_port(&ports[i]));
        if asked == 0 && !needs_all {
            continue;
        }
        let given = match by_number.get(&number) {
            Some(shared) if asked == 0 || asked == *shared => *shared,
            Some(_) => {
                taking.take(asked).map_err(|cause| refused(i, asked, cause))?;
                asked
            }
            None => {
                let wanted = ports.iter().filter(|port| port["port"] == number).map(node_port).find(|port| *port != 0);
                let given = match wanted {
                    Some(wanted) => taking.take(wanted).map(|()| wanted).map_err(|cause| refused(i, wanted, cause))?,
                    None => taking.next().ok_or_else(is_full)?,
                };
                by_number.insert(number, given);
                given
            }
        };
        ports[i]["nodePort"] = Value::from(given);
    }
    Ok(())
}

/// Of a Service that is there. Each port gets its own, and a number may stand there twice when the protocols differ.
fn change(old: &Value, service: &mut Value, taking: &mut Taking<'_>) -> Result<(), Refusal> {
    let needs_all = needs_node_ports(service);
    let before: Vec<i64> = old["spec"]["ports"].as_array().into_iter().flatten().map(node_port).collect();
    let (mut asked_for, mut seen) = (Vec::new(), Vec::new());
    for (i, port) in ports_mut(service).iter_mut().enumerate() {
        let mut number = node_port(port);
        if number == 0 && !needs_all {
            continue;
        }
        if number == 0 {
            number = taking.next().ok_or_else(is_full)?;
            port["nodePort"] = Value::from(number);
        } else if !before.contains(&number) && !asked_for.contains(&number) {
            taking.take(number).map_err(|cause| refused(i, number, cause))?;
            asked_for.push(number);
        }
        let protocol = port["protocol"].as_str().unwrap_or("").to_owned();
        if seen.contains(&(protocol.clone(), number)) {
            return Err(Refusal::Unnamed(format!("duplicate nodePort: {{{protocol} {number}}}")));
        }
        seen.push((protocol, number));
    }
    Ok(())
}

/// The port at which load balancers ask a node whether it has a pod of the Service.
fn allot_health(service: &mut Value, taking: &mut Taking<'_>) -> Result<(), Refusal> {
    let asked = service["spec"]["healthCheckNodePort"].as_i64().unwrap_or(0);
    if asked != 0 {
        let failed = |cause| Refusal::Internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {cause}"));
        return taking.take(asked).map_err(failed);
    }
    let full = || Refusal::Internal("failed to allocate a HealthCheck NodePort 0: range is full".to_owned());
    service["spec"]["healthCheckNodePort"] = Value::from(taking.next().ok_or_else(full)?);
    Ok(())
}

fn needs_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"].as_bool().unwrap_or(true),
        _ => false,
    }
}

fn needs_health_port(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::allotment::ServiceSettings;

    const TAKEN: u16 = 30_009;

    fn ports(ports: &[(u16, &str, u16)]) -> Value {
        let port = |(number, protocol, asked): &(u16, &str, u16)| json!({"port": number, "protocol": protocol, "nodePort": asked});
        json!({"spec": {"type": "NodePort", "ports": ports.iter().map(port).collect::<Vec<_>>()}})
    }

    /// Ports are number, protocol and node port.
    #[track_caller]
    fn check(is_new: bool, is_dry_run: bool, asked: &[(u16, &str, u16)], wanted: Result<&[i64], &str>) {
        let settings = ServiceSettings { node_ports: 30_000..=TAKEN, ..ServiceSettings::default() };
        let is_port_taken = |port| port == TAKEN;
        let pool = Pool { settings: &settings, is_dry_run, random: &|| 0, is_address_taken: &|_| false, is_port_taken: &is_port_taken };
        let (old, mut service) = (ports(&[]), ports(asked));
        let given = allot(&pool, (!is_new).then_some(&old), &mut service);
        let given = given.map(|()| service["spec"]["ports"].as_array().unwrap().iter().map(node_port).collect::<Vec<_>>());
        let given = given.map_err(|refusal| match refusal {
            Refusal::Invalid(faults) => format!("{}: {}", faults[0].path, faults[0].detail),
            Refusal::Internal(text) | Refusal::Unnamed(text) => text,
        });
        assert_eq!(given, wanted.map(<[i64]>::to_vec).map_err(str::to_owned));
    }

    #[test]
    fn node_ports_are_kept_shared_or_refused() {
        check(true, false, &[(80, "TCP", 0), (80, "UDP", 0), (81, "TCP", 0)], Ok(&[30_000, 30_000, 30_001]));
        check(true, false, &[(80, "TCP", 0), (80, "UDP", 30_005)], Ok(&[30_005, 30_005]));
        check(true, false, &[(80, "TCP", 30_004), (80, "UDP", 30_005)], Ok(&[30_004, 30_005]));
        let twice = [(80, "TCP", 30_005), (81, "UDP", 30_005)];
        check(true, false, &twice, Err("spec.ports[1].nodePort: provided port is already allocated"));
        check(false, false, &twice, Ok(&[30_005, 30_005]));
        check(false, false, &[(80, "TCP", 30_005), (81, "TCP", 30_005)], Err("duplicate nodePort: {TCP 30005}"));
        check(false, false, &[(80, "TCP", 0), (80, "UDP", 0)], Ok(&[30_000, 30_001]));
        for is_new in [true, false] {
            check(is_new, false, &[(80, "TCP", TAKEN)], Err("spec.ports[0].nodePort: provided port is already allocated"));
            let out = "provided port is not in the valid range. The range of valid ports is 30000-30009";
            check(is_new, false, &[(80, "TCP", 80)], Err(&format!("spec.ports[0].nodePort: {out}")));
        }
    }

    #[test]
    fn dry_runs_are_shown_ports_behind_the_range() {
        check(true, true, &[(80, "TCP", 0), (80, "UDP", 0), (81, "TCP", 0)], Ok(&[32_769, 32_769, 32_770]));
        check(true, true, &[(80, "TCP", 80), (81, "TCP", 0)], Ok(&[80, 81]));
        check(false, true, &[(80, "TCP", TAKEN)], Err("spec.ports[0].nodePort: provided port is already allocated"));
    }
}
