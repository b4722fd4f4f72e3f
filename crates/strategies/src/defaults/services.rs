//! Services.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Rule, Tree, map, maps, set_absent, text};

pub(super) const RULES: &[(&str, Rule)] = &[("ServiceSpec", spec), ("ServicePort", port), ("Service", ingress)];

/// Upstream: `DefaultClientIPServiceAffinitySeconds`, three hours.
const CLIENT_IP_AFFINITY_S: i64 = 10_800;

fn spec(spec: &mut Tree, _: Timestamp) {
    match text(spec, "sessionAffinity") {
        "" | "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let has_timeout = spec.get("sessionAffinityConfig").is_some_and(|c| !c["clientIP"]["timeoutSeconds"].is_null());
            if !has_timeout {
                spec.insert("sessionAffinityConfig".to_owned(), json!({"clientIP": {"timeoutSeconds": CLIENT_IP_AFFINITY_S}}));
            }
        }
        _ => {}
    }
    let kind = match text(spec, "type") {
        "" => "ClusterIP",
        kind => kind,
    }
    .to_owned();
    let has_external_ips = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    let is_external = matches!(kind.as_str(), "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && has_external_ips);
    if is_external && text(spec, "externalTrafficPolicy").is_empty() {
        spec.insert("externalTrafficPolicy".to_owned(), Value::from("Cluster"));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        set_absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_absent(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn port(port: &mut Tree, _: Timestamp) {
    let is_unset = match port.get("targetPort") {
        None => true,
        Some(Value::String(name)) => name.is_empty(),
        Some(number) => number.as_i64() == Some(0),
    };
    if is_unset {
        let number = port.get("port").cloned().unwrap_or(Value::from(0));
        port.insert("targetPort".to_owned(), number);
    }
}

fn ingress(service: &mut Tree, _: Timestamp) {
    if service.get("spec").is_none_or(|spec| spec["type"] != "LoadBalancer") {
        return;
    }
    let Some(balancer) = map(service, "status").and_then(|status| map(status, "loadBalancer")) else { return };
    for address in maps(balancer, "ingress") {
        if !text(address, "ip").is_empty() {
            set_absent(address, "ipMode", "VIP");
        }
    }
}
