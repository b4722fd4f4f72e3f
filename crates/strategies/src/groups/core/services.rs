//! Services: what was allotted before is kept where an update leaves it out, the two ways to write the first address are made equal, and
//! fields that one type has and another has not go when the type changes and they were not touched.

use serde_json::{Value, json};

use crate::Context;
use crate::reset::{take, unset};

fn text<'a>(service: &'a Value, field: &str) -> &'a str {
    service["spec"][field].as_str().unwrap_or("")
}

fn needs_address(service: &Value) -> bool {
    text(service, "type") != "ExternalName"
}

fn needs_node_port(service: &Value) -> bool {
    text(service, "type") == "NodePort" || (is_balanced(service) && service["spec"]["allocateLoadBalancerNodePorts"] != false)
}

/// Also where none is asked for any more.
fn may_have_node_port(service: &Value) -> bool {
    matches!(text(service, "type"), "NodePort" | "LoadBalancer")
}

fn needs_health_port(service: &Value) -> bool {
    is_balanced(service) && text(service, "externalTrafficPolicy") == "Local"
}

fn is_external(service: &Value) -> bool {
    let has_external_ips = service["spec"]["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty());
    matches!(text(service, "type"), "NodePort" | "LoadBalancer") || (text(service, "type") == "ClusterIP" && has_external_ips)
}

fn is_balanced(service: &Value) -> bool {
    text(service, "type") == "LoadBalancer"
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service["spec"]["ports"].as_array().into_iter().flatten()
}

fn node_port(port: &Value) -> i64 {
    port["nodePort"].as_i64().unwrap_or(0)
}

fn addresses(service: &Value) -> &[Value] {
    service["spec"]["clusterIPs"].as_array().map_or(&[], Vec::as_slice)
}

/// A client of either kind may write only the address field that it knows.
pub(super) fn complete(old: Option<&Value>, new: &mut Value) {
    let Some(old) = old else {
        if !text(new, "clusterIP").is_empty() && addresses(new).is_empty() {
            new["spec"]["clusterIPs"] = json!([text(new, "clusterIP")]);
        }
        return;
    };
    let is_allotted = |needs: fn(&Value) -> bool, new: &Value| needs(old) && needs(new);
    if is_allotted(needs_address, new) {
        let is_missing = [text(new, "clusterIP").is_empty(), addresses(new).is_empty()];
        for (field, _) in ["clusterIP", "clusterIPs"].iter().zip(is_missing).filter(|(_, is)| *is) {
            take(&mut new["spec"], field, &old["spec"]);
        }
    }
    if is_allotted(needs_node_port, new) {
        keep_node_ports(old, new);
    }
    if is_allotted(needs_health_port, new) && new["spec"]["healthCheckNodePort"].as_i64().unwrap_or(0) == 0 {
        take(&mut new["spec"], "healthCheckNodePort", &old["spec"]);
    }
    let is_list_same = addresses(old) == addresses(new);
    match text(new, "clusterIP") {
        same if same == text(old, "clusterIP") => {}
        "" if is_list_same => unset(&mut new["spec"], "clusterIPs"),
        single if is_list_same => new["spec"]["clusterIPs"] = json!([single]),
        _ => {}
    }
}

/// By the names of the ports, unless a number went to another one.
fn keep_node_ports(old: &Value, new: &mut Value) {
    let taken: Vec<i64> = ports(new).map(node_port).collect();
    for port in new["spec"]["ports"].as_array_mut().into_iter().flatten().filter(|port| node_port(port) == 0) {
        let before = ports(old).filter(|old| old["name"] == port["name"]).map(node_port).last();
        if let Some(number) = before.filter(|number| *number != 0 && !taken.contains(number)) {
            port["nodePort"] = json!(number);
        }
    }
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
    if had_but_needs_no(may_have_node_port, new) && has_no_new_node_port(old, new) {
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
    let before: Vec<i64> = ports(old).map(node_port).collect();
    ports(new).map(node_port).all(|port| port == 0 || before.contains(&port))
}
