//! Services and what they point at.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{joined, label_text, list, name, named, number, or_none, selector_text, text, text_cell, with_more};
use crate::age::age;

const SHOWN_MAX: usize = 3;

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let ports = joined(list(&spec["ports"]).iter().map(port).collect::<Vec<_>>().iter().map(String::as_str), ",");
    let mut cells = named(
        object,
        now,
        [
            text_cell(&spec["type"]),
            or_none(&spec["clusterIPs"][0]),
            Value::from(external_ip(object)),
            Value::from(if ports.is_empty() { "<none>".to_owned() } else { ports }),
        ],
    );
    cells.push(label_text(&spec["selector"]));
    cells
}

fn port(port: &Value) -> String {
    let (number, protocol) = (number(&port["port"]), text(&port["protocol"]));
    match port["nodePort"].as_i64() {
        Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
        _ => format!("{number}/{protocol}"),
    }
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let external = joined(list(&spec["externalIPs"]).iter().map(text), ",");
    match text(&spec["type"]) {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external,
        "LoadBalancer" => {
            let balancer = load_balancer(service);
            match (balancer.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external,
                (false, true) => balancer,
                (false, false) => format!("{balancer},{external}"),
            }
        }
        "ExternalName" => text(&spec["externalName"]).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses, else host names; sorted, each once.
fn load_balancer(object: &Value) -> String {
    let shown = |ingress: &Value| ingress["ip"].as_str().or(ingress["hostname"].as_str()).unwrap_or("").to_owned();
    let all: BTreeSet<String> = list(&object["status"]["loadBalancer"]["ingress"]).iter().map(shown).filter(|t| !t.is_empty()).collect();
    joined(all.iter().map(String::as_str), ",")
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = list(&object["subsets"]);
    if subsets.is_empty() {
        return named(object, now, [Value::from("<none>")]);
    }
    let mut shown = Vec::new();
    for subset in subsets {
        let addresses = || list(&subset["addresses"]).iter().map(|a| text(&a["ip"]));
        let ports = list(&subset["ports"]);
        if ports.is_empty() {
            shown.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            shown.extend(addresses().map(|ip| host_port(ip, number(&port["port"]))));
        }
    }
    let n_all = shown.len();
    named(object, now, [Value::from(with_more(&shown, n_all, SHOWN_MAX))])
}

fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn or_unset(line: String) -> Value {
    Value::from(if line.is_empty() { "<unset>".to_owned() } else { line })
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| match (port["port"].as_i64(), port["name"].as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    let ports: Vec<String> = list(&object["ports"]).iter().map(port).collect();
    let addresses: Vec<String> =
        list(&object["endpoints"]).iter().flat_map(|e| list(&e["addresses"])).map(|a| text(a).to_owned()).collect();
    named(
        object,
        now,
        [
            text_cell(&object["addressType"]),
            or_unset(with_more(&ports, ports.len(), SHOWN_MAX)),
            or_unset(with_more(&addresses, addresses.len(), SHOWN_MAX)),
        ],
    )
}

pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let ports = if list(&spec["tls"]).is_empty() { "80" } else { "80, 443" };
    named(
        object,
        now,
        [
            Value::from(spec["ingressClassName"].as_str().unwrap_or("<none>")),
            Value::from(hosts(list(&spec["rules"]))),
            Value::from(load_balancer(object)),
            Value::from(ports),
        ],
    )
}

/// Upstream counts rules without a host among those it leaves out.
fn hosts(rules: &[Value]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut has_more = false;
    for rule in rules {
        has_more |= shown.len() == SHOWN_MAX;
        let host = text(&rule["host"]);
        if !has_more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.is_empty(), has_more) {
        (true, _) => "*".to_owned(),
        (false, false) => shown.join(","),
        (false, true) => format!("{} + {} more...", shown.join(","), rules.len() - SHOWN_MAX),
    }
}

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_default = object["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true";
    let parameters = match &object["spec"]["parameters"] {
        Value::Null => "<none>".to_owned(),
        p => {
            let group = p["apiGroup"].as_str().map_or_else(String::new, |group| format!(".{group}"));
            format!("{}{group}/{}", text(&p["kind"]), text(&p["name"]))
        }
    };
    let mut cells = named(object, now, [text_cell(&object["spec"]["controller"]), Value::from(parameters)]);
    if is_default {
        cells[0] = Value::from(format!("{} (default)", text(&object["metadata"]["name"])));
    }
    cells
}

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    named(object, now, [selector_text(&object["spec"]["podSelector"])])
}

pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    named(object, now, [Value::from(joined(list(&object["spec"]["cidrs"]).iter().map(text), ","))])
}

/// Upstream: there is a third cell, though the table has two columns.
pub(super) fn ip_address(object: &Value, now: Timestamp) -> Vec<Value> {
    let parent = match &object["spec"]["parentRef"] {
        Value::Null => "<none>".to_owned(),
        p => {
            let group = p["group"].as_str().filter(|g| !g.is_empty()).map_or_else(String::new, |group| format!(".{group}"));
            let namespace = p["namespace"].as_str().filter(|n| !n.is_empty()).map_or_else(String::new, |ns| format!("/{ns}"));
            format!("{}{namespace}/{}", format!("{}{group}", text(&p["resource"])).to_lowercase(), text(&p["name"]))
        }
    };
    vec![name(object), Value::from(parent), Value::from(age(object, now))]
}
