//! The few kinds that are served in another form than they are stored in: events of `events.k8s.io`, and `autoscaling/v1`.
//!
//! All other versions of a kind share one form, and reading them costs nothing.

mod autoscaler;

use kinds::Resource;
use object::Value;

/// How a served form relates to the stored one.
enum Relation {
    Same,
    /// Members of other names: stored, served.
    Renamed(&'static [(&'static str, &'static str)]),
    Autoscaler,
}

const EVENT_MEMBERS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn relation(resource: &Resource) -> Relation {
    match (resource.group.as_str(), resource.version.as_str(), resource.plural.as_str()) {
        ("events.k8s.io", _, "events") => Relation::Renamed(EVENT_MEMBERS),
        ("autoscaling", "v1", "horizontalpodautoscalers") => Relation::Autoscaler,
        _ => Relation::Same,
    }
}

/// Stored bytes are this resource's own form.
pub fn is_stored_form(resource: &Resource) -> bool {
    matches!(relation(resource), Relation::Same)
}

/// The tree of stored bytes, in the resource's form.
pub(crate) fn to_served(resource: &Resource, object: &mut Value) {
    match relation(resource) {
        Relation::Same => {}
        Relation::Renamed(members) => rename(object, members.iter().copied()),
        Relation::Autoscaler => autoscaler::to_v1(object),
    }
}

/// Members that only writers use, put where they belong: a Secret's `stringData`. And what reading a form adds to it.
pub(crate) fn fold(resource: &Resource, object: &mut Value) {
    use base64::Engine;
    if matches!(relation(resource), Relation::Autoscaler) {
        autoscaler::default_target(object);
    }
    if resource.plural != "secrets" || !resource.group.is_empty() {
        return;
    }
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|secret| secret.remove("stringData")) else { return };
    for (key, text) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or(""));
        object["data"][key.as_str()] = Value::from(encoded);
    }
}

/// What is stored of a tree in the resource's form.
pub(crate) fn to_stored(resource: &Resource, object: &mut Value) {
    match relation(resource) {
        Relation::Same => {}
        Relation::Renamed(members) => rename(object, members.iter().map(|(stored, served)| (*served, *stored))),
        Relation::Autoscaler => autoscaler::to_v2(object),
    }
}

fn rename(object: &mut Value, members: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in members {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_autoscaler_survives_the_round() {
        let stored = json!({
            "metadata": {"name": "a"},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "w"}, "metrics": [
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 50}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            ], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}},
            "status": {"currentReplicas": 2, "desiredReplicas": 2, "conditions": [{"type": "AbleToScale", "status": "True"}], "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 70}}},
            ]},
        });
        let mut object = stored.clone();
        autoscaler::to_v1(&mut object);
        assert_eq!(object["spec"]["targetCPUUtilizationPercentage"], 80);
        assert_eq!(object["status"]["currentCPUUtilizationPercentage"], 70);
        assert_eq!(object["spec"]["metrics"], Value::Null);
        autoscaler::to_v2(&mut object);
        let mut metrics = object["spec"]["metrics"].as_array().cloned().unwrap_or_default();
        metrics.reverse();
        assert_eq!(Value::from(metrics), stored["spec"]["metrics"]);
        assert_eq!(object["spec"]["behavior"], stored["spec"]["behavior"]);
        assert_eq!(object["status"]["conditions"], stored["status"]["conditions"]);
        assert_eq!(object["metadata"], stored["metadata"]);
    }
}
