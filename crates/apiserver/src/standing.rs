//! Objects of flow control and aggregation that every server has: priority levels, flow schemas, and what serves each group version.
//!
//! They tell clients how the server is set up. Nothing is limited by them, and nothing is passed on.

use authz::bootstrap::Reconciled;
use object::meta;
use serde_json::{Value, json};

/// As managedFields show it.
pub(crate) const MANAGER: &str = "kube-apiserver";

const TABLE: &str = include_str!("../facts/standing.jsonl");

const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Upstream: these are put right whatever their annotation says.
const MANDATORY: &[&str] = &["exempt", "catch-all"];

/// As managedFields show who says that a schema's level is there.
pub(crate) const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";

/// All of them, levels before the schemas that name them.
pub(crate) fn objects() -> impl Iterator<Item = Value> {
    TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| serde_json::from_str(line).expect("a line of the table is an object"))
}

/// As managedFields show who keeps an object.
pub(crate) fn manager(object: &Value) -> &'static str {
    if object["kind"] == "APIService" { MANAGER } else { PRODUCER }
}

/// What a start must do about one of `objects()` that exists already.
pub(crate) fn reconcile(wanted: &Value, existing: &Value) -> Reconciled {
    let mut new = existing.clone();
    let is_kept = if wanted["kind"] == "APIService" {
        meta::label(existing, MANAGED).is_some()
    } else {
        let is_auto = MANDATORY.contains(&meta::name(wanted)) || is_auto_updated(existing);
        new["metadata"]["annotations"][AUTO_UPDATE] = Value::from(is_auto.to_string());
        is_auto
    };
    if is_kept {
        new["spec"] = wanted["spec"].clone();
    }
    if new == *existing { Reconciled::UpToDate } else { Reconciled::Update(new) }
}

/// Without a word about it, only what nobody has changed yet.
fn is_auto_updated(existing: &Value) -> bool {
    match meta::annotation(existing, AUTO_UPDATE) {
        Some("true") => true,
        Some("false") => false,
        _ => existing["metadata"]["generation"] == 1,
    }
}

/// The status of a schema whose level exists, unless that is what it says.
pub(crate) fn found_status(schema: &Value, now: &str) -> Option<Value> {
    let is_said = |condition: &Value| condition["type"] == "Dangling" && condition["status"] == "False";
    let conditions = schema["status"]["conditions"].as_array();
    if schema["kind"] != "FlowSchema" || conditions.is_some_and(|conditions| conditions.iter().any(is_said)) {
        return None;
    }
    let level = schema["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or("");
    Some(json!({
        "apiVersion": schema["apiVersion"], "kind": "FlowSchema", "metadata": {"name": meta::name(schema)},
        "status": {"conditions": [{
            "type": "Dangling", "status": "False", "reason": "Found", "lastTransitionTime": now,
            "message": format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists"),
        }]},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_version_is_said_to_be_served() {
        let mut served: Vec<String> = objects().filter(|o| o["kind"] == "APIService").map(|o| meta::name(&o).to_owned()).collect();
        let versions = |group: &kinds::Group| group.versions.iter().map(|v| format!("{v}.{}", group.name)).collect::<Vec<_>>();
        // Upstream: what serves the services does not speak of itself.
        let groups = kinds::builtin().groups.iter().filter(|group| group.name != "apiregistration.k8s.io");
        let mut wanted: Vec<String> = groups.flat_map(versions).collect();
        served.sort();
        wanted.sort();
        assert_eq!(served, wanted);
    }

    #[test]
    fn an_owners_word_holds_but_for_what_is_mandatory() {
        let named = |name: &str| objects().find(|o| meta::name(o) == name && o["kind"] == "PriorityLevelConfiguration").expect("is there");
        let changed = |name: &str, annotation: Value, generation: i64| {
            let mut object = named(name);
            object["metadata"]["generation"] = json!(generation);
            object["metadata"]["annotations"] = json!({AUTO_UPDATE: annotation});
            object["spec"]["limited"] = json!({"nominalConcurrencyShares": 1});
            object
        };
        let spec_of = |reconciled: Reconciled| match reconciled {
            Reconciled::Update(new) => (new["spec"].clone(), new["metadata"]["annotations"][AUTO_UPDATE].clone()),
            other => panic!("{other:?}"),
        };
        let (system, mandatory) = (named("system"), named("catch-all"));
        assert_eq!(reconcile(&system, &system), Reconciled::UpToDate);
        assert_eq!(reconcile(&system, &changed("system", json!("false"), 2)), Reconciled::UpToDate);
        assert_eq!(spec_of(reconcile(&system, &changed("system", json!("true"), 2))), (system["spec"].clone(), json!("true")));
        assert_eq!(spec_of(reconcile(&system, &changed("system", json!("?"), 1))), (system["spec"].clone(), json!("true")));
        let own = changed("system", json!("?"), 2);
        assert_eq!(spec_of(reconcile(&system, &own)), (own["spec"].clone(), json!("false")));
        assert_eq!(spec_of(reconcile(&mandatory, &changed("catch-all", json!("false"), 2))), (mandatory["spec"].clone(), json!("true")));
    }
}
