//! What `fieldRef` and `resourceFieldRef` say: the downward API's values.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};
use object::field::quoted;
use object::quantity::Quantity;

use crate::pod::BoundPod;
use crate::resources;

/// What of the node and the sandbox a pod may see of itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub host_ips: Vec<String>,
    pub pod_ips: Vec<String>,
    /// The node's allocatable amounts: limits of those who set none.
    pub allocatable: BTreeMap<String, Quantity>,
}

pub fn field(pod: &BoundPod, path: &str, around: &Surroundings) -> Result<String, String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix(']').and_then(|p| p.split_once('[')) {
        let map = match map {
            "metadata.labels" => &pod.meta.labels,
            "metadata.annotations" => &pod.meta.annotations,
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        let key = key.trim_matches('\'').trim_matches('"');
        return Ok(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod.name.clone(),
        "metadata.namespace" => pod.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "metadata.labels" => formatted(pod.meta.labels.as_ref()),
        "metadata.annotations" => formatted(pod.meta.annotations.as_ref()),
        "spec.nodeName" => text(&pod.spec.node_name),
        "spec.serviceAccountName" => text(&pod.spec.service_account_name),
        "status.hostIP" => around.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => around.host_ips.join(","),
        "status.podIP" => around.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => around.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `key="value"` a line, sorted, quoted as Go quotes.
fn formatted(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

/// `container` is the one the reference stands in, unless it names another.
pub fn resource(
    pod: &BoundPod,
    container: Option<&Container>,
    selector: &ResourceFieldSelector,
    around: &Surroundings,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let container = match named {
        Some(name) => pod.container(name).map(|(_, c)| c).ok_or_else(|| format!("container {name} not found"))?,
        None => container.ok_or_else(|| format!("no container named for {}", selector.resource))?,
    };
    let (list, name) = selector.resource.split_once('.').ok_or_else(|| unsupported(&selector.resource))?;
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return Err(unsupported(&selector.resource));
    }
    let amount = match list {
        "limits" => {
            let own = resources::limit(container, name).filter(|q| !q.is_zero());
            own.or_else(|| around.allocatable.get(name).copied())
        }
        "requests" => resources::request(container, name),
        _ => return Err(unsupported(&selector.resource)),
    };
    let amount = amount.unwrap_or(Quantity::ZERO);
    let divisor = selector.divisor.as_ref().and_then(|d| Quantity::parse(&d.0).ok()).filter(|d| !d.is_zero());
    let divisor = divisor.unwrap_or_else(|| Quantity::from_millis(1000));
    let (amount, divisor) = if name == "cpu" { (amount.milli_value(), divisor.milli_value()) } else { (amount.value(), divisor.value()) };
    let divisor = divisor.max(1);
    Ok((amount / divisor + i64::from(amount % divisor > 0)).to_string())
}

fn unsupported(resource: &str) -> String {
    format!("unsupported container resource : {resource}")
}
