//! Bent pairs of an object and what is to be done to it, as a JSON list of the two.

use kinds::{Catalog, TypeId, builtin};
use object::key::GroupVersionKind;
use serde_json::{Value, json};

use crate::{OneVersion, Writer, apply, json_patch, merge_patch, strategic_merge, track};

const WORDS: &[&str] = &[
    "$patch",
    "delete",
    "replace",
    "merge",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "containers",
    "name",
    "spec",
    "ports",
    "op",
    "path",
    "from",
    "value",
    "test",
    "move",
    "/-",
    "~1",
    "~0",
    "~2",
    "managedFields",
    "fieldsV1",
    "f:spec",
    ".",
    "k:{\"name\":\"c\"}",
    "v:\"x\"",
    "i:0",
    "k:{",
    "f:",
    "Apply",
    "Update",
    "matchLabels",
];

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "uid": "u", "labels": {"x": "y"}, "finalizers": ["f"],
        "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-11-22T10:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}, "f:finalizers": {".": {}, "v:\"f\"": {}}},
                "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}}}}}}}}}]},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"x": "y"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}}})
}

fn catalog() -> (&'static Catalog, TypeId) {
    (builtin(), builtin().type_of(&GroupVersionKind::new("apps", "v1", "Deployment")).expect("built in"))
}

/// Two trees in, and whether the second could be done to the first.
fn run(patches: &[Value], exercise: impl Fn(Value, &Value) -> bool) {
    let seeds: Vec<String> = patches.iter().map(|patch| json!([deployment(), patch]).to_string()).collect();
    ::fuzz::run(&seeds, WORDS, |bytes| match serde_json::from_slice::<[Value; 2]>(bytes) {
        Ok([object, patch]) if object.is_object() => exercise(object, &patch),
        _ => false,
    });
}

#[test]
fn json_patches() {
    let patch = json!([{"op": "test", "path": "/spec/replicas", "value": 3}, {"op": "add", "path": "/metadata/finalizers/-", "value": "g"},
        {"op": "copy", "from": "/spec", "path": "/status"}, {"op": "move", "from": "/status/replicas", "path": "/a~1b~0"},
        {"op": "remove", "path": "/metadata/labels/x"}, {"op": "replace", "path": "", "value": {}}]);
    // Each copy doubles what is there.
    let doubling = vec![json!({"op": "copy", "from": "/metadata", "path": "/metadata/labels/x"}); 40];
    run(&[patch, Value::Array(doubling)], |object, patch| json_patch(&object, patch).is_ok());
}

#[test]
fn merge_patches() {
    run(&[json!({"metadata": {"labels": {"x": null, "z": "1"}}, "spec": null})], |mut object, patch| {
        let accepted = merge_patch(&mut object, patch).is_ok();
        let once = object.clone();
        assert!(!accepted || merge_patch(&mut object, patch).is_ok() && object == once, "merged twice is merged once");
        accepted
    });
}

#[test]
fn strategic_merges() {
    let list = json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}],
        "containers": [{"name": "d", "image": "j"}, {"name": "c", "$patch": "delete"}]}}}});
    let words = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["f"], "labels": {"$patch": "replace", "a": "b"}},
        "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let (catalog, ty) = catalog();
    run(&[list, words], |object, patch| strategic_merge(catalog, ty, &object, patch).is_ok());
}

#[test]
fn server_side_apply() {
    let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "finalizers": ["g"]}, "spec": {"replicas": 4,
        "template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 81, "protocol": "UDP"}]}]}}}});
    let (catalog, ty) = catalog();
    let now = "2026-11-22T11:00:00Z".parse().expect("a time");
    let writer = |manager| Writer { manager, subresource: "", api_version: "apps/v1", versions: &OneVersion, now, reset: &["status"] };
    run(&[config], |object, config| {
        let _ = apply(catalog, ty, Some(&object), config, &writer("n"), false);
        let Ok(mut applied) = apply(catalog, ty, Some(&object), config, &writer("m"), true) else { return false };
        let again = apply(catalog, ty, Some(&applied), config, &writer("m"), true);
        // Who owns what of wrong types is nobody's business; what there is must stay.
        let without_owners = |mut object: Value| {
            object::meta::unset(&mut object, "managedFields");
            object
        };
        let again = again.map(without_owners).map_err(|_| "refused");
        assert_eq!(again, Ok(without_owners(applied.clone())), "applied twice is applied once");
        track(catalog, ty, Some(&object), &mut applied, &writer("o"));
        true
    });
}
