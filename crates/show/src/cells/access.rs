//! Who may do what: bindings, certificates, admission policies.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{count, joined, label_text, list, name, named, or_none, text, text_cell};
use crate::age::{age, human_duration};

pub(super) fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = &object["roleRef"];
    let mut cells = named(object, now, [Value::from(format!("{}/{}", text(&role["kind"]), text(&role["name"])))]);
    let subjects = |kind: &str| {
        let of_kind = list(&object["subjects"]).iter().filter(|s| s["kind"] == kind);
        let shown: Vec<String> = of_kind
            .map(|s| match kind {
                "ServiceAccount" => format!("{}/{}", text(&s["namespace"]), text(&s["name"])),
                _ => text(&s["name"]).to_owned(),
            })
            .collect();
        Value::from(shown.join(", "))
    };
    cells.extend(["User", "Group", "ServiceAccount"].map(subjects));
    cells
}

pub(super) fn signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let requested = spec["expirationSeconds"]
        .as_i64()
        .map_or_else(|| "<none>".to_owned(), |seconds| human_duration(SignedDuration::from_secs(seconds)));
    let has = |ty: &str| list(&object["status"]["conditions"]).iter().any(|c| c["type"] == ty);
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(&object["status"]["certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    vec![
        name(object),
        Value::from(age(object, now)),
        or_none(&spec["signerName"]),
        text_cell(&spec["username"]),
        Value::from(requested),
        Value::from(state),
    ]
}

pub(super) fn pod_certificate_request(object: &Value) -> Vec<Value> {
    let spec = &object["spec"];
    let is_final = |c: &&Value| matches!(text(&c["type"]), "Issued" | "Denied" | "Failed");
    let state = list(&object["status"]["conditions"]).iter().rfind(is_final).map_or("Pending", |c| text(&c["type"]));
    let mut cells = vec![name(object)];
    cells.extend(["podName", "serviceAccountName", "nodeName", "signerName"].map(|field| text_cell(&spec[field])));
    cells.push(Value::from(state));
    cells.push(label_text(&spec["unverifiedUserAnnotations"]));
    cells
}

pub(super) fn admission_policy(object: &Value, rules: &str, now: Timestamp) -> Vec<Value> {
    let kind = &object["spec"]["paramKind"];
    let kind = if kind.is_null() { "<unset>".to_owned() } else { format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"])) };
    named(object, now, [count(&object["spec"][rules]), Value::from(kind)])
}

pub(super) fn admission_policy_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameter = &object["spec"]["paramRef"];
    let shown = match (text(&parameter["namespace"]), text(&parameter["name"])) {
        (_, "") if !parameter["selector"].is_null() => selector_dump(&parameter["selector"]),
        (_, "") => "<unset>".to_owned(),
        // Whether the parameter's kind has namespaces cannot be told from here.
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    named(object, now, [text_cell(&object["spec"]["policyName"]), Value::from(shown)])
}

/// Upstream prints the Go struct.
fn selector_dump(selector: &Value) -> String {
    let labels: String = selector["matchLabels"].as_object().into_iter().flatten().map(|(k, v)| format!("{k}: {},", text(v))).collect();
    let requirement = |e: &Value| {
        let values = joined(list(&e["values"]).iter().map(text), " ");
        format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", text(&e["key"]), text(&e["operator"]))
    };
    let expressions: String = list(&selector["matchExpressions"]).iter().map(requirement).collect();
    format!("&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}")
}
