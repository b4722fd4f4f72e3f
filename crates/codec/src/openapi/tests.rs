use kinds::builtin;
use serde_json::{Value, json};

use super::{Descriptions, NoDescriptions, document, document_paths, index};

fn made(path: &str) -> Value {
    document(builtin(), path, &NoDescriptions).unwrap_or_else(|| panic!("no document at {path}"))
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

#[test]
fn every_reference_has_its_schema() {
    let paths = document_paths(builtin());
    assert_eq!(paths.len(), 49);
    for path in &paths {
        let document = made(path);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty() || path.contains("openid"), "{path}");
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").expect(reference);
            assert!(document["components"]["schemas"].get(name).is_some_and(|s| !s.is_null()), "{path}: {name}");
        }
    }
    for absent in ["apis/none", "apis/apps/v2", "api/v2", "", "x"] {
        assert!(document(builtin(), absent, &NoDescriptions).is_none(), "{absent}");
    }
    assert_eq!(
        index(builtin(), &|_| "AB".to_owned())["paths"]["apis/apps/v1"],
        json!({"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=AB"})
    );
}

#[test]
fn schemas_carry_what_apply_and_explain_need() {
    let document = made("apis/apps/v1");
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"],
        json!({"default": {}, "allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}],
            "x-kubernetes-patch-strategy": "retainKeys"})
    );
    assert_eq!(
        schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"],
        json!({"type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.ContainerPort"},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "containerPort"})
    );
    assert_eq!(
        schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "DeleteOptions"}, {"group": "apps", "version": "v1", "kind": "DeleteOptions"}])
    );
}

/// kubectl leaves validation to the server only when it finds this.
#[test]
fn patches_take_field_validation() {
    let document = made("apis/apps/v1");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "apps", "version": "v1", "kind": "Deployment"}));
    let parameters: Vec<&str> = patch["parameters"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"]);
}

#[test]
fn descriptions_come_from_outside() {
    struct One;
    impl Descriptions for One {
        fn of_type(&self, ty: &str) -> Option<&str> {
            ty.ends_with(".Pod").then_some("a pod")
        }
        fn of_field(&self, ty: &str, field: &str) -> Option<&str> {
            (ty.ends_with(".Pod") && field == "spec").then_some("what is wanted")
        }
    }
    let document = document(builtin(), "api/v1", &One).unwrap();
    let pod = &document["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["description"], "a pod");
    assert_eq!(pod["properties"]["spec"]["description"], "what is wanted");
}
