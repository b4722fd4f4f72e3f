//! Requests to a small cluster as a kube-apiserver 1.37.1 answered them: `golden/world.json` is what was there, a line of
//! `golden/chain.jsonl` what was sent and what came back. Defaults and resets come from `strategies`, as in the write path.

use std::collections::HashMap;

use authz::UserInfo;
use jiff::Timestamp;
use kinds::Resource;
use object::key::{GroupResource, ObjectKey};
use object::meta;
use object::status::Status;
use serde_json::{Value, json};

use crate::{Operation, Request, Scene, View, mutate, plugin_names, validate};

struct World(HashMap<String, Vec<Value>>);

impl World {
    fn read() -> Self {
        World(serde_json::from_str(include_str!("../golden/world.json")).expect("the world is JSON"))
    }
}

impl View for World {
    fn get(&self, resource: &GroupResource, key: &ObjectKey) -> Option<Value> {
        self.list(resource, "").into_iter().find(|object| meta::key(object) == *key)
    }
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        let all = self.0.get(&format!("{}/{}", resource.group, resource.resource)).cloned().unwrap_or_default();
        all.into_iter().filter(|object| namespace.is_empty() || meta::namespace(object) == namespace).collect()
    }
}

/// Resource, namespace, name and subresource of a path.
fn address(path: &str) -> (&'static Resource, &str, &str, &str) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = if parts[0] == "api" { ("", parts[1], &parts[2..]) } else { (parts[1], parts[2], &parts[3..]) };
    let (namespace, rest) = if rest[0] == "namespaces" && rest.len() > 2 { (rest[1], &rest[2..]) } else { ("", rest) };
    let resource = kinds::builtin().resource(group, version, rest[0]).unwrap_or_else(|| panic!("no resource {path}"));
    (resource, namespace, rest.get(1).copied().unwrap_or(""), rest.get(2).copied().unwrap_or(""))
}

fn answer(world: &World, case: &Value) -> (Result<Value, Status>, Vec<String>) {
    let (resource, namespace, name, subresource) = address(case["path"].as_str().expect("a path"));
    let operation = match case["method"].as_str() {
        Some("POST") => Operation::Create,
        Some("PUT") => Operation::Update,
        _ => Operation::Delete,
    };
    let groups = case["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let user = UserInfo { name: case["user"].as_str().unwrap_or("admin").to_owned(), groups, ..UserInfo::default() };
    let is_admin = case["user"].is_null();
    let scene = Scene { view: world, authorize: &|_| is_admin, random: 7 };
    let request = Request { operation, resource, subresource, namespace, name, user: &user };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let context = strategies::Context { catalog: kinds::builtin(), now, user: &user };
    let old = (!case["old"].is_null()).then(|| &case["old"]);
    let mut warnings = Vec::new();
    let mut run = || -> Result<Value, Status> {
        if operation == Operation::Delete {
            warnings = validate(&scene, &request, old, None)?;
            return Ok(Value::Null);
        }
        let mut object = case["send"].clone();
        object["apiVersion"] = json!(resource.gvk().api_version());
        object["kind"] = json!(resource.kind);
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        strategies::default(kinds::builtin(), resource.type_id, &mut object, now);
        mutate(&scene, &request, old, &mut object)?;
        match old {
            None => strategies::prepare_create(resource, &mut object, &context),
            Some(old) => strategies::prepare_update(resource, subresource, old, &mut object, &context),
        }
        warnings = validate(&scene, &request, old, Some(&object))?;
        Ok(object)
    };
    (run(), warnings)
}

/// Without what the engine decides, and with the random part of the token volume's name fixed.
fn masked(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["uid", "creationTimestamp", "managedFields", "resourceVersion", "generation"] {
        meta::unset(&mut object, field);
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("lastPhaseTransitionTime");
    }
    let text = object.to_string();
    let text = match text.find("kube-api-access-") {
        Some(at) => text.replace(&text[at..at + 21], "kube-api-access-xxxxx"),
        None => text,
    };
    serde_json::from_str(&text).expect("still JSON")
}

#[test]
fn the_chain_answers_as_upstreams() {
    let world = World::read();
    for line in include_str!("../golden/chain.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("a golden line is JSON");
        let shown = format!("{} {} {}", case["method"], case["path"], case["send"]);
        // Field validation, which comes first and is not this crate's, refuses it upstream.
        if case["status"]["reason"] == "Invalid" && case["path"] != "/api/v1/namespaces" {
            continue;
        }
        let (got, warnings) = answer(&world, &case);
        match (got, case["status"].is_null()) {
            (Ok(object), true) => {
                if case["method"] != "DELETE" {
                    assert_eq!(masked(&object), masked(&case["want"]), "{shown}");
                }
                let wanted: Vec<&str> = case["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let wanted: Vec<&str> = wanted.into_iter().filter(|w| !w.contains("deprecated since")).collect();
                assert_eq!(warnings, wanted, "{shown}");
            }
            (Err(status), false) => {
                assert_eq!(json!(status.message), case["status"]["message"], "{shown}");
                assert_eq!(json!(status.code), case["status"]["code"], "{shown}");
                if status.reason == "Forbidden" {
                    assert_eq!(status.details["causes"], case["status"]["causes"], "{shown}");
                }
            }
            (got, _) => panic!("{shown}: {got:?}, upstream {}", case["status"]),
        }
    }
}

#[test]
fn plugins_stand_in_upstreams_order() {
    let names: Vec<&str> = plugin_names().collect();
    expect_test::expect![[r#"
        NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition PodSecurity Priority DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection PersistentVolumeClaimResize RuntimeClass CertificateApproval CertificateSigning ClusterTrustBundleAttest CertificateSubjectRestriction DefaultIngressClass PodTopologyLabels PodResizeValidator
    "#]]
    .assert_eq(&format!("{}\n", names.join(" ")));
}
