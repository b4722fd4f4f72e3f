//! Services: fields that one type has and another has not go when the type changes and they were not touched.

use serde_json::{Value, json};

use crate::Context;
use crate::reset::unset;

fn text<'a>(service: &'a Value, field: &str) -> &'a str {
    service["spec"][field].as_str().unwrap_or("")
}

fn needs_address(service: &Value) -> bool {
    text(service, "type") != "ExternalName"
}

fn needs_node_port(service: &Value) -> bool {
    matches!(text(service, "type"), "NodePort" | "LoadBalancer")
}

fn needs_health_port(service: &Value) -> bool {
    text(service, "type") == "LoadBalancer" && text(service, "externalTrafficPolicy") == "Local"
}

fn is_external(service: &Value) -> bool {
    let has_external_ips = service["spec"]["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty());
    needs_node_port(service) || (text(service, "type") == "ClusterIP" && has_external_ips)
}

fn is_balanced(service: &Value) -> bool {
    text(service, "type") == "LoadBalancer"
}

pub(super) fn update(subresource: &str, old: &Value, new: &mut Value, _: &Context<'_>) {
    if !subresource.is_empty() {
        return;
    }
    let had_but_needs_no = |needs: fn(&Value) -> bool, new: &Value| needs(old) && !needs(new);
    let is_same = |fields: &[&str], new: &Value| fields.iter().all(|f| old["spec"][*f] == new["spec"][*f]);
    let drop = |fields: &[&str], new: &mut Value| fields.iter().for_each(|f| unset(&mut new["spec"], f));
    if had_but_needs_no(needs_address, new) {
        for fields in [&["clusterIP", "clusterIPs"][..], &["ipFamilies"], &["ipFamilyPolicy"]] {
            if is_same(fields, new) {
                drop(fields, new);
            }
        }
    }
    if had_but_needs_no(needs_node_port, new) && has_no_new_node_port(old, new) {
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            unset(port, "nodePort");
        }
    }
    for (needs, field) in [
        (needs_health_port as fn(&Value) -> bool, "healthCheckNodePort"),
        (is_balanced, "allocateLoadBalancerNodePorts"),
        (is_balanced, "loadBalancerClass"),
        (is_external, "externalTrafficPolicy"),
    ] {
        if had_but_needs_no(needs, new) && is_same(&[field], new) {
            drop(&[field], new);
        }
    }
    if !is_balanced(new) {
        new["status"]["loadBalancer"] = json!({});
    }
}

fn has_no_new_node_port(old: &Value, new: &Value) -> bool {
    let ports = |service: &Value| -> Vec<i64> {
        service["spec"]["ports"].as_array().into_iter().flatten().filter_map(|p| p["nodePort"].as_i64()).filter(|p| *p != 0).collect()
    };
    let before = ports(old);
    ports(new).iter().all(|port| before.contains(port))
}
