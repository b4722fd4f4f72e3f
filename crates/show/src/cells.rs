//! Cells by resource. Upstream: `pkg/printers/internalversion/printers.go`; texts and their order are its.

mod access;
mod cluster;
mod network;
mod pods;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::age::age;

/// All cells of an object's row, the wide ones included, in the order of the columns.
pub(crate) fn cells(group: &str, plural: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    match (group, plural) {
        ("", "pods") => pods::pod(object, now),
        ("", "podtemplates") => pods::pod_template(object),
        ("", "replicationcontrollers") => workloads::replication_controller(object, now),
        ("apps", "replicasets") => workloads::replica_set(object, now),
        ("apps", "deployments") => workloads::deployment(object, now),
        ("apps", "statefulsets") => workloads::stateful_set(object, now),
        ("apps", "daemonsets") => workloads::daemon_set(object, now),
        ("apps", "controllerrevisions") => workloads::controller_revision(object, now),
        ("batch", "jobs") => workloads::job(object, now),
        ("batch", "cronjobs") => workloads::cron_job(object, now),
        ("autoscaling", "horizontalpodautoscalers") => workloads::horizontal_pod_autoscaler(object, now),
        ("policy", "poddisruptionbudgets") => workloads::pod_disruption_budget(object, now),

        ("", "services") => network::service(object, now),
        ("", "endpoints") => network::endpoints(object, now),
        ("discovery.k8s.io", "endpointslices") => network::endpoint_slice(object, now),
        ("networking.k8s.io", "ingresses") => network::ingress(object, now),
        ("networking.k8s.io", "ingressclasses") => network::ingress_class(object, now),
        ("networking.k8s.io", "networkpolicies") => network::network_policy(object, now),
        ("networking.k8s.io", "servicecidrs") => network::service_cidr(object, now),
        ("networking.k8s.io", "ipaddresses") => network::ip_address(object, now),

        ("", "persistentvolumes") => storage::persistent_volume(object, now),
        ("", "persistentvolumeclaims") => storage::persistent_volume_claim(object, now),
        ("storage.k8s.io", "storageclasses") => storage::storage_class(object, now),
        ("storage.k8s.io", "volumeattributesclasses") => named(object, now, [object["driverName"].clone()]),
        ("storage.k8s.io", "volumeattachments") => storage::volume_attachment(object, now),
        ("storage.k8s.io", "csidrivers") => storage::csi_driver(object, now),
        ("storage.k8s.io", "csinodes") => named(object, now, [count(&object["spec"]["drivers"])]),
        ("resource.k8s.io", "resourceclaims") => storage::resource_claim(object, now),
        ("resource.k8s.io", "resourceslices") => storage::resource_slice(object, now),
        ("resource.k8s.io", "devicetaintrules") => storage::device_taint_rule(object, now),

        ("", "nodes") => cluster::node(object, now),
        ("", "namespaces") => named(object, now, [text_cell(&object["status"]["phase"])]),
        ("", "secrets") => named(object, now, [text_cell(&object["type"]), count(&object["data"])]),
        ("", "configmaps") => named(object, now, [Value::from(len(&object["data"]) + len(&object["binaryData"]))]),
        ("", "serviceaccounts") | ("resource.k8s.io", "deviceclasses" | "resourceclaimtemplates") => named(object, now, []),
        ("", "events") | ("events.k8s.io", "events") => cluster::event(object, now),
        ("", "resourcequotas") => cluster::resource_quota(object, now),
        ("", "componentstatuses") => cluster::component_status(object),
        ("coordination.k8s.io", "leases") => named(object, now, [text_cell(&object["spec"]["holderIdentity"])]),
        ("node.k8s.io", "runtimeclasses") => named(object, now, [text_cell(&object["handler"])]),
        ("scheduling.k8s.io", "priorityclasses") => cluster::priority_class(object, now),
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => cluster::flow_schema(object, now),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => cluster::priority_level(object, now),
        ("storagemigration.k8s.io", "storageversionmigrations") => cluster::storage_version_migration(object),
        ("apiregistration.k8s.io", "apiservices") => cluster::api_service(object, now),
        ("apiextensions.k8s.io", "customresourcedefinitions") => cluster::custom_resource_definition(object),

        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => access::role_binding(object, now),
        ("certificates.k8s.io", "certificatesigningrequests") => access::signing_request(object, now),
        ("certificates.k8s.io", "clustertrustbundles") => vec![name(object), or_none(&object["spec"]["signerName"])],
        ("certificates.k8s.io", "podcertificaterequests") => access::pod_certificate_request(object),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            named(object, now, [count(&object["webhooks"])])
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => access::admission_policy(object, "validations", now),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => access::admission_policy(object, "mutations", now),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings") => {
            access::admission_policy_binding(object, now)
        }
        _ => vec![name(object), object["metadata"]["creationTimestamp"].clone()],
    }
}

/// What kubectl may grey out or leave away: pods that are done.
pub(crate) fn conditions(group: &str, plural: &str, object: &Value) -> Value {
    let condition = |reason: &str, message: &str| json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]);
    match (group, plural, text(&object["status"]["phase"])) {
        ("", "pods", "Succeeded") => condition("Succeeded", "The pod has completed successfully."),
        ("", "pods", "Failed") => condition("Failed", "The pod failed."),
        _ => Value::Null,
    }
}

const FLOW_SCHEMAS: (&str, &str) = ("flowcontrol.apiserver.k8s.io", "flowschemas");
const STORAGE_CLASSES: (&str, &str) = ("storage.k8s.io", "storageclasses");

/// Whether rows depend on what else is listed.
pub(crate) fn look_at_siblings(group: &str, plural: &str) -> bool {
    [FLOW_SCHEMAS, STORAGE_CLASSES].contains(&(group, plural))
}

/// Flow schemas are listed as they are matched; all else as it comes.
pub(crate) fn list_order(group: &str, plural: &str, objects: &[&Value]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..objects.len()).collect();
    if (group, plural) == FLOW_SCHEMAS {
        order.sort_by_key(|i| (number(&objects[*i]["spec"]["matchingPrecedence"]), text(&objects[*i]["metadata"]["name"])));
    }
    order
}

/// Of several classes marked as default the youngest counts, then the first by name.
pub(crate) fn default_storage_class<'a>(group: &str, plural: &str, objects: &[&'a Value]) -> Option<&'a str> {
    if (group, plural) != STORAGE_CLASSES {
        return None;
    }
    const MARKS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let is_default = |object: &&&Value| MARKS.iter().any(|mark| object["metadata"]["annotations"][*mark] == "true");
    let by_age = |object: &&&Value| {
        let metadata = &object["metadata"];
        (text(&metadata["creationTimestamp"]).to_owned(), std::cmp::Reverse(text(&metadata["name"]).to_owned()))
    };
    objects.iter().filter(is_default).max_by_key(by_age).map(|object| text(&object["metadata"]["name"]))
}

/// Name, the cells between, age.
fn named<const N: usize>(object: &Value, now: Timestamp, between: [Value; N]) -> Vec<Value> {
    let mut cells = Vec::with_capacity(N + 2);
    cells.push(name(object));
    cells.extend(between);
    cells.push(Value::from(age(object, now)));
    cells
}

fn name(object: &Value) -> Value {
    text_cell(&object["metadata"]["name"])
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// A missing string is an empty one.
fn text_cell(value: &Value) -> Value {
    Value::from(text(value))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn number_cell(value: &Value) -> Value {
    Value::from(number(value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn len(value: &Value) -> usize {
    value.as_object().map_or_else(|| list(value).len(), Map::len)
}

fn count(value: &Value) -> Value {
    Value::from(len(value))
}

fn or_else(value: &Value, otherwise: &str) -> Value {
    Value::from(value.as_str().filter(|t| !t.is_empty()).unwrap_or(otherwise))
}

fn or_none(value: &Value) -> Value {
    or_else(value, "<none>")
}

fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true)
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

/// Names and images of containers, each joined by commas.
fn container_cells(containers: &Value) -> [Value; 2] {
    ["name", "image"].map(|field| Value::from(joined(list(containers).iter().map(|c| text(&c[field])), ",")))
}

/// `a=b,c=d` of a map, or `<none>`.
fn label_text(labels: &Value) -> Value {
    let pairs: Vec<String> = labels.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect();
    Value::from(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") })
}

/// A `LabelSelector` as one line, its requirements by key. Upstream: `LabelSelectorAsSelector` and `String`.
fn selector_line(selector: &Value) -> Result<String, ()> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", text(value))));
    }
    for expression in list(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let mut values: Vec<&str> = list(&expression["values"]).iter().map(text).collect();
        values.sort_unstable();
        let values = values.join(",");
        let shown = match text(&expression["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return Err(()),
        };
        parts.push((key.to_owned(), shown));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(joined(parts.iter().map(|(_, shown)| shown.as_str()), ","))
}

fn selector_text(selector: &Value) -> Value {
    Value::from(match selector_line(selector) {
        Err(()) => "<error>".to_owned(),
        Ok(line) if line.is_empty() => "<none>".to_owned(),
        Ok(line) => line,
    })
}

/// The first `max` of a list, and how many more there are.
fn with_more(shown: &[String], n_all: usize, max: usize) -> String {
    let line = shown.iter().take(max).cloned().collect::<Vec<_>>().join(",");
    if n_all > max { format!("{line} + {} more...", n_all - max) } else { line }
}

fn condition<'a>(object: &'a Value, ty: &str) -> Option<&'a Value> {
    list(&object["status"]["conditions"]).iter().find(|c| c["type"] == ty)
}

fn has_condition(object: &Value, ty: &str) -> bool {
    condition(object, ty).is_some_and(|c| c["status"] == "True")
}
