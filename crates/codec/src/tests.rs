//! Tables over the built-in catalog.

use kinds::{TypeId, builtin};
use object::key::GroupVersionKind;
use serde_json::{Value, json};

use crate::{Written, has_empties, json, normalise, normalise_json, shed, stored, strict};

pub(crate) fn ty(api_version: &str, kind: &str) -> TypeId {
    builtin().type_of(&GroupVersionKind::from_api_version(api_version, kind)).expect(kind)
}

fn of(value: &Value) -> TypeId {
    ty(value["apiVersion"].as_str().expect("a body has an API version"), value["kind"].as_str().expect("a body has a kind"))
}

#[track_caller]
fn check_normal(input: Value, expected: Value) {
    let mut value = input.clone();
    normalise(builtin(), of(&input), &mut value).unwrap();
    assert_eq!(value, expected);
    let again = value.clone();
    normalise(builtin(), of(&input), &mut value).unwrap();
    assert_eq!(value, again, "normalising is idempotent");
}

#[track_caller]
fn check_mismatch(input: Value, expected: &str) {
    let mut value = input.clone();
    assert_eq!(normalise(builtin(), of(&input), &mut value), Err(expected.to_owned()));
}

#[test]
fn objects_take_the_form_go_writes() {
    check_normal(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "creationTimestamp": null},
            "spec": {"paused": false, "replicas": 0, "unknown": 1, "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {"hostNetwork": false, "containers": [
                    {"name": "c", "stdin": false, "resources": {"limits": {"memory": "1024Mi", "cpu": 0.5}}}]}}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "strategy": {},
                "template": {"metadata": {}, "spec": {"containers": [
                    {"name": "c", "resources": {"limits": {"memory": "1Gi", "cpu": "500m"}}}]}}},
            "status": {}}),
    );
    check_normal(
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "YQ==", "b": null, "c": [7, null, 255]}, "type": ""}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"a": "YQ==", "b": "", "c": "BwD/"}}),
    );
    check_normal(
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": "http"}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
            "status": {"loadBalancer": {}}}),
    );
    check_normal(
        json!({"apiVersion": "v1", "kind": "Event", "lastTimestamp": "2026-11-22T10:00:00+01:00"}),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {}, "involvedObject": {}, "source": {}, "eventTime": null,
            "firstTimestamp": null, "lastTimestamp": "2026-11-22T09:00:00Z", "reportingComponent": "", "reportingInstance": ""}),
    );
}

/// As it is once read, as JSON, and as it is stored.
#[track_caller]
fn check_shed(input: Value, read: &Value, written: &Value, kept: &Value) {
    let ty = of(&input);
    let mut value = input;
    normalise(builtin(), ty, &mut value).unwrap();
    assert_eq!(value, *read);
    assert_eq!(has_empties(builtin(), ty, &value), read != kept);
    for (as_what, expected) in [(Written::Json, written), (Written::Stored, kept)] {
        shed(builtin(), ty, &mut value, as_what);
        assert_eq!(value, *expected);
    }
    assert!(!has_empties(builtin(), ty, &value));
}

#[test]
fn empties_last_until_they_are_written() {
    let role = |rules: Value, labels: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": labels, "rules": rules});
    let labels = || json!({"labels": {}, "finalizers": []});
    let (empty, whole) = (role(json!([]), json!({})), role(json!([]), labels()));
    check_shed(whole.clone(), &whole, &empty, &role(Value::Null, json!({})));
    let some = |rule: Value| role(json!([rule]), json!({}));
    let given = some(json!({"verbs": [], "resourceNames": [], "resources": null}));
    let read = some(json!({"verbs": [], "resourceNames": []}));
    check_shed(given, &read, &some(json!({"verbs": []})), &some(json!({"verbs": null})));
    let request = |spec: Value| json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {}, "spec": spec, "status": {}});
    let asked = request(json!({"request": "", "signerName": ""}));
    check_shed(asked.clone(), &asked, &asked, &asked);
    let claim = |selector: Value| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {},
            "spec": {"selector": selector, "resources": {}}, "status": {}})
    };
    let (given, left) = (claim(json!({"matchLabels": {}})), claim(json!({})));
    check_shed(given.clone(), &given, &left, &left);
}

#[test]
fn schemas_of_custom_resources_keep_their_alternatives() {
    check_normal(
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"group": "g", "scope": "Cluster",
            "names": {"plural": "ps", "kind": "P"}, "versions": [{"name": "v1", "served": true, "storage": false, "schema": {
                "openAPIV3Schema": {"type": "object", "additionalProperties": false, "x": 1,
                    "items": {"type": "string", "nullable": false, "y": 2}, "default": {"n": 1.0}}}}]}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {}, "spec": {"group": "g",
            "scope": "Cluster", "names": {"plural": "ps", "kind": "P"}, "versions": [{"name": "v1", "served": true, "storage": false,
                "schema": {"openAPIV3Schema": {"type": "object", "additionalProperties": false, "items": {"type": "string"},
                    "default": {"n": 1}}}}]},
            "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null}}),
    );
}

#[test]
fn wrong_types_are_refused_in_gos_words() {
    let deployment = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
    let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
    for (input, expected) in [
        (
            deployment(json!({"replicas": "3"})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment(json!({"replicas": 3_000_000_000u32})),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            pod(json!({"containers": [{"image": 5}]})),
            "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
        ),
        (
            pod(json!({"containers": {"a": "b"}})),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            pod(json!({"restartPolicy": true})),
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            pod(json!({"volumes": [{"name": "v", "emptyDir": "x"}]})),
            "json: cannot unmarshal string into Go struct field Volume.spec.volumes.VolumeSource.emptyDir of type v1.EmptyDirVolumeSource",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}}),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "%"}}), "illegal base64 data at input byte 0"),
        (
            pod(json!({"containers": [{"resources": {"limits": {"cpu": "much"}}}]})),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"targetPort": true}]}}),
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            pod(json!({"hostNetwork": 1, "containers": [{"resources": {"limits": {"cpu": "much"}}}]})),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        check_mismatch(input, expected);
    }
    let mut list = json!([]);
    assert_eq!(
        normalise(builtin(), ty("v1", "Pod"), &mut list),
        Err("json: cannot unmarshal array into Go value of type v1.Pod".to_owned())
    );
}

#[track_caller]
fn check_strict(body: &str, expected: &[&str]) {
    let parsed = json::parse(body.as_bytes()).unwrap();
    assert_eq!(strict::check_json(builtin(), of(&parsed.value), &parsed, body.as_bytes()), expected, "{body}");
}

#[test]
fn unknown_and_duplicate_fields_are_named_in_document_order() {
    check_strict(r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"labels":{"any":"x"}},"spec":{"replicas":1}}"#, &[]);
    check_strict(
        r#"{"kind":"Deployment","apiVersion":"apps/v1","spec":{"unknown1":"a","paused":true,"unknownDupe":1,"paused":false,"unknownDupe":2,
            "template":{"spec":{"containers":[{"name":"a","unknownNested":1,"imagePullPolicy":"Always","imagePullPolicy":"Never"}]}},
            "aLast": 1}}"#,
        &[
            r#"unknown field "spec.unknown1""#,
            r#"unknown field "spec.unknownDupe""#,
            r#"duplicate field "spec.paused""#,
            r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
            r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
            r#"unknown field "spec.aLast""#,
        ],
    );
    check_strict(
        r#"{"kind":"Pod","apiVersion":"v1","Spec":{},"metadata":{"labels":{"a":"1","a":"2"}}}"#,
        &[r#"unknown field "Spec""#, r#"duplicate field "metadata.labels.a""#],
    );
}

#[test]
fn duplicates_keep_the_last_and_are_noted() {
    let parsed = json::parse(br#"{"a":[{"b":1},{"c":1,"c":{"d":1,"d":2}}],"a":3}"#).unwrap();
    assert_eq!(parsed.value, json!({"a": 3}));
    assert_eq!(parsed.duplicates, [r#"duplicate field "a[1].c""#, r#"duplicate field "a[1].c.d""#, r#"duplicate field "a""#]);
    for bad in ["", "{", "{\"a\":1}x", "nul", "[1,]", "\u{feff}{}"] {
        assert!(json::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(json::parse("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn text_is_read_as_go_reads_it() {
    for (text, read) in [
        (&b"{\"a\":\"\xff\xe2\x82x\"}"[..], "{\"a\":\"\u{fffd}\u{fffd}\u{fffd}x\"}"),
        (
            br#"["\ud800","\udc00x","\ud800\ud83d\ude00","\\ud800\"1e400"]"#,
            "[\"\u{fffd}\",\"\u{fffd}x\",\"\u{fffd}\u{1f600}\",\"\\\\ud800\\\"1e400\"]",
        ),
    ] {
        let parsed = json::parse(text).unwrap();
        assert_eq!(parsed.value.to_string(), read);
        assert!(parsed.is_repaired);
    }
    assert_eq!(
        json::parse(b"[1e400,-1e999]").unwrap_err().to_string(),
        "json: cannot unmarshal number 1e400 into Go value of type float64"
    );
    assert!(json::parse(b"[\xff]").is_err());
}

#[test]
fn numbers_are_shown_as_they_are_written() {
    let check = |body: &str, expected: Result<(), &str>| {
        let parsed = json::parse_typed(body.as_bytes()).unwrap();
        let mut value = parsed.value;
        let result = normalise_json(builtin(), ty("v1", "Pod"), &mut value, parsed.too_large.as_deref(), body.as_bytes());
        assert_eq!(result, expected.map_err(|fault| format!("json: cannot unmarshal {fault}")), "{body}");
    };
    check(
        r#"{"metadata":{"generation":1,"generation":1e2}}"#,
        Err("number 1e2 into Go struct field ObjectMeta.metadata.generation of type int64"),
    );
    check(r#"{"metadata":{"generation":-1e400}}"#, Err("number -1e400 into Go struct field ObjectMeta.metadata.generation of type int64"));
    check(
        r#"{"spec":{"containers":[{},{"ports":[{"containerPort":100.00}]}],"\u0078":[100.0]}}"#,
        Err("number 100.00 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
    );
    check(r#"{"metadata":{"labels":{"a":1e400}}}"#, Err("number into Go struct field ObjectMeta.metadata.labels of type string"));
    check(r#"{"unknown":1e400}"#, Ok(()));
}

#[test]
fn the_stored_form_is_cut_after_the_revision() {
    let kind = GroupVersionKind::new("apps", "v1", "Deployment");
    for (object, cut) in [
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"x": "\"é"}}),
            r#"","name":"a"},"spec":{"x":"\"é"}}"#,
        ),
        (json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}}), r#""}}"#),
    ] {
        let bytes = stored::encode(&object);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), cut);
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(stored::decode(&kind, 42, &bytes).unwrap(), expected);
        assert_eq!(stored::decode_lean(&kind, 42, &bytes).unwrap(), expected);
        let mut owned = object.clone();
        owned["metadata"]["managedFields"] = json!([{"manager": "m"}]);
        assert_eq!(stored::decode_lean(&kind, 42, &stored::encode(&owned)).unwrap(), expected);
        let item: Value = serde_json::from_slice(&stored::with_prefix(stored::ITEM_PREFIX, 42, &bytes)).unwrap();
        assert_eq!(item["metadata"], expected["metadata"]);
        assert!(item.get("kind").is_none());
    }
    assert_eq!(stored::prefix(&kind), r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"resourceVersion":""#);
}
