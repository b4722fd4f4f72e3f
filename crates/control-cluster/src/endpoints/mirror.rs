//! Endpoints that people keep by hand for a service without a selector, mirrored into EndpointSlices.
//!
//! One slice for each family and set of ports (upstream: `endpointslicemirroring`). What is mirrored belongs to the Endpoints object.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::fresh::{Seed, fresh};
use object::plan::{Change, Note, Plan, Reference};

use super::backends::Port;
use super::slices::{Group, MANAGED_BY, SERVICE_NAME, group_of, slice_ports};

pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that speak of the Endpoints object itself.
const OWN_ANNOTATIONS: &[&str] = &["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];
/// Upstream: `--mirroring-max-endpoints-per-subset`.
const ENDPOINTS_MAX: usize = 1000;

pub struct View<'a> {
    pub endpoints: Option<&'a Endpoints>,
    pub service: Option<&'a Service>,
    /// What was mirrored before.
    pub kept: &'a [Arc<EndpointSlice>],
    pub is_name_taken: &'a dyn Fn(&str) -> bool,
}

pub fn plan(view: &View<'_>) -> Plan {
    let Some(endpoints) = view.endpoints.filter(|endpoints| is_mirrored(endpoints, view.service)) else {
        return Plan { changes: view.kept.iter().map(|slice| Change::delete(&**slice)).collect(), ..Plan::nothing() };
    };
    let mut plan = Plan::nothing();
    let groups = wanted(endpoints, &mut plan);
    let mut kept: Vec<&Arc<EndpointSlice>> = view.kept.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()).collect();
    let mut take = |is_fit: &dyn Fn(&EndpointSlice) -> bool| kept.iter().position(|slice| is_fit(slice)).map(|at| kept.remove(at));
    let mut reused: BTreeMap<&Group, &Arc<EndpointSlice>> = BTreeMap::new();
    for group in groups.keys() {
        reused.extend(take(&|slice| group_of(slice).as_ref() == Some(group)).map(|slice| (group, slice)));
    }
    // A slice that would go is written anew before one is made beside it.
    for group in groups.keys() {
        if !reused.contains_key(group) {
            reused.extend(take(&|slice| slice.address_type == group.0).map(|slice| (group, slice)));
        }
    }
    let base = format!("{}-", endpoints.metadata.name.as_deref().unwrap_or(""));
    let seed = view.kept.iter().fold(seed(endpoints), |seed, slice| seed.with(slice.metadata.uid.as_deref().unwrap_or("")));
    let mut new_names = fresh(&base, seed, view.is_name_taken);
    for (group, mirrored) in &groups {
        let wanted = slice(endpoints, group, mirrored);
        match reused.get(group) {
            Some(old) => plan.changes.extend(rewritten(old, wanted).map(|slice| Change::update(&slice))),
            None if endpoints.metadata.deletion_timestamp.is_some() => {}
            None => {
                let mut wanted = wanted;
                wanted.metadata.name = new_names.next();
                wanted.metadata.generate_name = Some(base.clone());
                plan.changes.push(Change::create(&wanted));
            }
        }
    }
    plan.changes.extend(kept.into_iter().map(|slice| Change::delete(&**slice)));
    plan
}

fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let is_skipped = endpoints.metadata.labels.as_ref().and_then(|l| l.get(SKIP_MIRROR)).is_some_and(|v| v == "true");
    let is_lock = endpoints.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(LEADER));
    let is_by_hand = service.is_some_and(|s| s.spec.as_ref().and_then(|s| s.selector.as_ref()).is_none_or(BTreeMap::is_empty));
    is_by_hand && !is_skipped && !is_lock
}

fn seed(endpoints: &Endpoints) -> Seed {
    let metadata = &endpoints.metadata;
    Seed::new().with(metadata.uid.as_deref().unwrap_or("")).with(metadata.resource_version.as_deref().unwrap_or(""))
}

/// An address with the ports it serves, and whether it is ready for each.
type Served<'a> = (&'a EndpointAddress, BTreeMap<Option<Port>, bool>);

/// The endpoints of each family and set of ports; what is left out is told.
fn wanted(endpoints: &Endpoints, plan: &mut Plan) -> BTreeMap<Group, Vec<Endpoint>> {
    let mut sets: BTreeMap<Vec<Port>, Vec<(&EndpointAddress, bool)>> = BTreeMap::new();
    for (address, ports) in repacked(endpoints.subsets.as_deref().unwrap_or_default()).into_values() {
        for is_ready in [true, false] {
            let of_state = || ports.iter().filter(|(_, ready)| **ready == is_ready).map(|(port, _)| port);
            if of_state().next().is_some() {
                sets.entry(of_state().flatten().cloned().collect()).or_default().push((address, is_ready));
            }
        }
    }
    let (mut groups, mut n_invalid, mut n_skipped) = (BTreeMap::<Group, Vec<Endpoint>>::new(), 0, 0);
    for (ports, mut addresses) in sets {
        addresses.sort_by_key(|(_, is_ready)| !is_ready);
        let mut n_added = 0;
        let n_all = addresses.len();
        for (address, is_ready) in addresses {
            if n_added == ENDPOINTS_MAX {
                break;
            }
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                n_invalid += 1;
                continue;
            };
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            groups.entry((family, ports.clone())).or_default().push(endpoint(ip, address, is_ready));
            n_added += 1;
        }
        n_skipped += n_all - n_added;
    }
    let mut warn = |reason, text: String| plan.notes.push(Note::warning(Reference::of(endpoints), reason, text));
    if n_invalid > 0 {
        warn("InvalidIPAddress", format!("Skipped {n_invalid} invalid IP addresses when mirroring to EndpointSlices"));
    }
    if n_skipped > n_invalid {
        let text = format!(
            "A max of {ENDPOINTS_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. {n_skipped} addresses were skipped"
        );
        warn("TooManyAddressesToMirror", text);
    }
    groups
}

/// Upstream: `RepackSubsets`. Where an address is both ready and not ready for a port, it is not.
fn repacked(subsets: &[EndpointSubset]) -> BTreeMap<(&str, &str), Served<'_>> {
    let mut all: BTreeMap<(&str, &str), Served<'_>> = BTreeMap::new();
    for subset in subsets {
        let mut ports: Vec<Option<Port>> = subset.ports.iter().flatten().map(|port| Some(port_of(port))).collect();
        if ports.is_empty() {
            ports.push(None);
        }
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        for (address, is_ready) in ready.chain(subset.not_ready_addresses.iter().flatten().map(|address| (address, false))) {
            let uid = address.target_ref.as_ref().and_then(|t| t.uid.as_deref()).unwrap_or("");
            let served = all.entry((address.ip.as_str(), uid)).or_insert_with(|| (address, BTreeMap::new()));
            for port in &ports {
                let state = served.1.entry(port.clone()).or_insert(is_ready);
                *state = *state && is_ready;
            }
        }
    }
    all
}

fn port_of(port: &k8s_openapi::api::core::v1::EndpointPort) -> Port {
    Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_default(),
        port: port.port,
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(ip: IpAddr, address: &EndpointAddress, is_ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(is_ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn slice(endpoints: &Endpoints, group: &Group, mirrored: &[Endpoint]) -> EndpointSlice {
    let from = &endpoints.metadata;
    let mut labels = from.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), from.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = from.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Endpoints".to_owned(),
        name: from.name.clone().unwrap_or_default(),
        uid: from.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    EndpointSlice {
        metadata: ObjectMeta {
            namespace: from.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|a| !a.is_empty()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        address_type: group.0.to_owned(),
        endpoints: Some(mirrored.to_vec()),
        ports: Some(slice_ports(&group.1)),
    }
}

/// The slice under its old name, unless it says all that already.
fn rewritten(old: &EndpointSlice, wanted: EndpointSlice) -> Option<EndpointSlice> {
    let metadata = ObjectMeta {
        labels: wanted.metadata.labels,
        annotations: wanted.metadata.annotations,
        owner_references: wanted.metadata.owner_references,
        ..old.metadata.clone()
    };
    let new = EndpointSlice { metadata, ..wanted };
    (new != *old).then_some(new)
}

#[cfg(test)]
mod tests {
    use object::Value;
    use object::plan::Write;
    use serde_json::json;

    use super::*;

    fn endpoints(subsets: Value) -> Endpoints {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "e", "labels": {"a": "b"}, "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"}},
            "subsets": subsets,
        }))
        .unwrap()
    }

    fn service(selector: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"selector": selector}})).unwrap()
    }

    /// Each change as a line; and the slices as they are afterwards.
    fn told(endpoints: Option<&Endpoints>, service: &Service, kept: &[Arc<EndpointSlice>]) -> (Vec<String>, Vec<Arc<EndpointSlice>>) {
        let plan = plan(&View { endpoints, service: Some(service), kept, is_name_taken: &|_| false });
        let mut after = Vec::new();
        let mut line = |word: &str, object: &Value| {
            let slice: EndpointSlice = serde_json::from_value(object.clone()).unwrap();
            let ports: Vec<_> = slice.ports.iter().flatten().map(|p| p.port.unwrap().to_string()).collect();
            let all = slice.endpoints.iter().flatten();
            let all: Vec<_> = all
                .map(|e| format!("{}{}", e.addresses[0], if e.conditions.as_ref().unwrap().ready == Some(true) { "" } else { "?" }))
                .collect();
            let text = format!("{word} {} {} {}", slice.address_type, ports.join(","), all.join(","));
            after.push(Arc::new(slice));
            text
        };
        let lines = plan.changes.iter().map(|change| match &change.write {
            Write::Create { object, .. } => line("create", object),
            Write::Update { object, .. } => line("update", object),
            Write::Delete { .. } => "delete".to_owned(),
            _ => "else".to_owned(),
        });
        let lines = lines.chain(plan.notes.iter().map(|note| note.message.clone())).collect();
        (lines, after)
    }

    #[test]
    fn a_slice_for_each_family_and_set_of_ports() {
        let by_hand = service(Value::Null);
        let first = endpoints(json!([
            {"addresses": [{"ip": "10.1.2.3"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "10.1.2.4"}], "ports": [{"port": 80, "protocol": "TCP"}]},
            {"addresses": [{"ip": "10.1.2.4"}, {"ip": "nowhere"}], "ports": [{"port": 81, "protocol": "TCP"}]},
        ]));
        let (lines, kept) = told(Some(&first), &by_hand, &[]);
        let wanted = ["create IPv4 80 10.1.2.3,10.1.2.4?", "create IPv4 81 10.1.2.4", "create IPv6 80 fd00::1"];
        assert_eq!(lines[..3], wanted);
        assert_eq!(lines[3], "Skipped 1 invalid IP addresses when mirroring to EndpointSlices");
        assert_eq!(kept[0].metadata.annotations, Some(BTreeMap::from([("kept".to_owned(), "yes".to_owned())])));
        assert_eq!(told(Some(&first), &by_hand, &kept).0.len(), 1, "planned again: the note alone");

        let second = endpoints(json!([{"addresses": [{"ip": "10.2.3.4"}], "ports": [{"port": 8080, "protocol": "TCP"}]}]));
        assert_eq!(told(Some(&second), &by_hand, &kept).0, ["update IPv4 8080 10.2.3.4", "delete", "delete"]);
        assert_eq!(told(None, &by_hand, &kept).0, ["delete"; 3]);
        assert_eq!(told(Some(&first), &service(json!({"app": "web"})), &kept).0, ["delete"; 3]);
    }
}
