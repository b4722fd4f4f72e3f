//! Where a request is passed on to. Pure: objects and names in, an address and a path out.

use std::net::IpAddr;

use object::Value;
use object::meta;
use object::status::Status;

use crate::query::Query;
use crate::request_info::RequestInfo;

const KUBELET_PORT: u16 = 10_250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// A node of ours: we say who we are, and it must be who it says. Pods are neither told nor asked.
    pub(super) is_kubelet: bool,
}

impl Place {
    pub(super) fn authority(&self) -> String {
        std::net::SocketAddr::new(self.ip, self.port).to_string()
    }
}

/// `name`, `name:port`, `scheme:name:port`.
pub(super) fn split_name(text: &str) -> Option<(Scheme, &str, &str)> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => Some((Scheme::Http, name, "")),
        [name, port] => Some((Scheme::Http, name, port)),
        ["http" | "", name, port] => Some((Scheme::Http, name, port)),
        ["https", name, port] => Some((Scheme::Https, name, port)),
        _ => None,
    }
}

/// A kubelet is reached at its node's internal address.
pub(super) fn kubelet_of(node: &Value, port: &str) -> Result<Place, Status> {
    let addresses = node["status"]["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |kind: &str| addresses.iter().find(|a| a["type"] == kind).and_then(|a| a["address"].as_str()?.parse().ok());
    let ip = of("InternalIP").or_else(|| of("ExternalIP")).ok_or_else(|| {
        Status::new(500, "", format!("no preferred addresses found; known addresses: {}", Value::from(addresses.to_vec())))
    })?;
    let published = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = if port.is_empty() { published.and_then(|p| u16::try_from(p).ok()).unwrap_or(KUBELET_PORT) } else { number(port)? };
    Ok(Place { scheme: Scheme::Https, ip, port, is_kubelet: true })
}

fn number(port: &str) -> Result<u16, Status> {
    port.parse().map_err(|_| Status::bad_request(format!("invalid port {port:?}")))
}

/// Without a port, the first one that a container names.
pub(super) fn pod(pod: &Value, scheme: Scheme, port: &str) -> Result<Place, Status> {
    let ip = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()).ok_or_else(|| Status::bad_request("address not allowed"))?;
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let first = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten()).find_map(|p| p["containerPort"].as_u64());
    let default = if scheme == Scheme::Https { 443 } else { 80 };
    let port = match port {
        "" => first.and_then(|p| u16::try_from(p).ok()).unwrap_or(default),
        given => number(given)?,
    };
    Ok(Place { scheme, ip, port, is_kubelet: false })
}

/// One ready endpoint behind the named (or numbered, or only) port.
pub(super) fn service(service: &Value, slices: &[Value], scheme: Scheme, port: &str, random: u64) -> Result<Place, Status> {
    let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let wanted = match port {
        "" if ports.len() == 1 => ports[0]["name"].as_str().unwrap_or(""),
        given => match given.parse::<u64>() {
            Err(_) => given,
            Ok(number) => ports
                .iter()
                .find(|p| p["port"].as_u64() == Some(number))
                .map(|p| p["name"].as_str().unwrap_or(""))
                .ok_or_else(|| Status::unavailable(format!("no service port {number} found for service {:?}", meta::name(service))))?,
        },
    };
    let mut found = Vec::new();
    for slice in slices {
        let numbers = slice["ports"].as_array().into_iter().flatten().filter(|p| p["name"].as_str().unwrap_or("") == wanted);
        for port in numbers.filter_map(|p| p["port"].as_u64()).filter_map(|p| u16::try_from(p).ok()) {
            let ready = slice["endpoints"].as_array().into_iter().flatten().filter(|e| e["conditions"]["ready"] != Value::Bool(false));
            let ips = ready.filter_map(|e| e["addresses"][0].as_str()?.parse().ok());
            found.extend(ips.map(|ip| Place { scheme, ip, port, is_kubelet: false }));
        }
    }
    if found.is_empty() {
        return Err(Status::unavailable(format!("no endpoints available for service {:?}", meta::name(service))));
    }
    let at = (random % found.len() as u64) as usize;
    Ok(found.swap_remove(at))
}

/// The container a stream is for: the one named, or the only one.
pub(super) fn container(pod: &Value, query: &Query) -> Result<String, Status> {
    let names =
        |member: &str| -> Vec<&str> { pod["spec"][member].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect() };
    let main = names("containers");
    let all = [names("initContainers"), main.clone(), names("ephemeralContainers")].concat();
    let pod_name = meta::name(pod);
    match (query.get("container").unwrap_or(""), main.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", _) => {
            let text = format!("a container name must be specified for pod {pod_name}, choose one of: [{}]", all.join(" "));
            Err(Status::bad_request(text))
        }
        (given, _) if all.contains(&given) => Ok(given.to_owned()),
        (given, _) => Err(Status::bad_request(format!("container {given} is not valid for pod {pod_name}"))),
    }
}

/// The kubelet's own path and words for a stream.
pub(super) fn kubelet_path(info: &RequestInfo, container: &str, query: &Query) -> String {
    let RequestInfo { namespace, name, .. } = info;
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let root = match info.subresource.as_str() {
        "log" => {
            for option in ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"] {
                if let Some(value) = query.get(option) {
                    pairs.push((option, value.to_owned()));
                }
            }
            format!("/containerLogs/{namespace}/{name}/{container}")
        }
        "portforward" => {
            pairs.extend(query.all("ports").map(|p| ("port", p.to_owned())));
            format!("/portForward/{namespace}/{name}")
        }
        stream => {
            for (option, word) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
                if query.flag(option) {
                    pairs.push((word, "1".to_owned()));
                }
            }
            if stream == "exec" {
                pairs.extend(query.all("command").map(|c| ("command", c.to_owned())));
            }
            format!("/{stream}/{namespace}/{name}/{container}")
        }
    };
    if pairs.is_empty() {
        return root;
    }
    let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
    format!("{root}?{}", pairs.join("&"))
}

pub(super) fn check_log_options(name: &str, query: &Query) -> Result<(), Status> {
    use object::field::{Error, Path};
    let mut faults = Vec::new();
    for (option, least) in [("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)] {
        if let Some(number) = query.get(option).and_then(|text| text.parse::<i64>().ok()).filter(|n| *n < least) {
            let text = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            faults.push(Error::invalid(&Path::new(option), number, text));
        }
    }
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        faults.push(Error::forbidden(&Path::default(), "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&object::key::GroupVersionKind::new("", "v1", "PodLogOptions"), name, &faults))
}

/// Percent-encoding of a query value.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kubelets_are_asked_in_their_words() {
        let check = |path: &str, query: &str, expected: &str| {
            let info = crate::request_info::parse("GET", &format!("/api/v1/namespaces/a/pods/b/{path}"), false, None);
            assert_eq!(kubelet_path(&info, "c", &Query::parse(query)), expected);
        };
        check("log", "follow=true&container=c&tailLines=5", "/containerLogs/a/b/c?follow=true&tailLines=5");
        check(
            "exec",
            "command=sh&command=-c&command=a%20b&stdin=true&stdout=1&tty=false",
            "/exec/a/b/c?input=1&output=1&command=sh&command=-c&command=a%20b",
        );
        check("attach", "stdout=true", "/attach/a/b/c?output=1");
        check("portforward", "ports=80", "/portForward/a/b?port=80");
    }

    #[test]
    fn services_lead_to_ready_endpoints() {
        let one = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        let slices = [json!({"ports": [{"name": "", "port": 8080}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": false}}, {"addresses": ["10.0.0.2"], "conditions": {"ready": true}}]})];
        let found = service(&one, &slices, Scheme::Http, "80", 7).unwrap();
        assert_eq!(found.authority(), "10.0.0.2:8080");
        assert_eq!(service(&one, &slices, Scheme::Http, "81", 7).unwrap_err().code, 503);
        assert_eq!(service(&one, &[], Scheme::Http, "", 7).unwrap_err().message, "no endpoints available for service \"s\"");
    }
}
