//! Decoders on bent input.

use std::sync::Arc;

use codec::{Written, has_empties, json, normalise, protobuf, shed, stored, strict, yaml};
use kinds::{Shape, TypeId, builtin};
use object::key::GroupVersionKind;
use serde_json::{Value, json};

/// Every kind empty, and one object that has most shapes.
fn objects() -> Vec<Value> {
    let empty = |gvk: &GroupVersionKind, id: TypeId| {
        let mut object = codec::zero(builtin(), id);
        object["apiVersion"] = gvk.api_version().into();
        object["kind"] = gvk.kind.as_str().into();
        object
    };
    let types = builtin().types.iter().enumerate();
    let kinds = types.flat_map(|(i, ty)| ty.group_version_kinds.iter().map(move |gvk| empty(gvk, TypeId(i as u32))));
    std::iter::once(sample()).chain(kinds).collect()
}

fn type_of(value: &Value) -> Option<TypeId> {
    let text = |name: &str| value[name].as_str().unwrap_or("");
    builtin().type_of(&GroupVersionKind::from_api_version(text("apiVersion"), text("kind")))
}

const WORDS: &[&str] =
    &["metadata", "spec", "Pod", "v1", "2026-11-22T10:00:00.000001Z", "99999999999999999999", "AA==", "1.5Gi", "10%", "creationTimestamp"];

#[test]
fn json_body() {
    let seeds: Vec<String> = objects().iter().map(Value::to_string).collect();
    ::fuzz::run(&seeds, WORDS, |bytes| {
        let Ok(parsed) = json::parse(bytes) else { return false };
        let Some(ty) = type_of(&parsed.value) else { return false };
        drop(strict::check_json(builtin(), ty, &parsed, bytes));
        let mut value = parsed.value.clone();
        drop(protobuf::Transcoder::new(Arc::clone(builtin())).message(ty, bytes, &mut Vec::new()));
        if normalise(builtin(), ty, &mut value).is_err() {
            return false;
        }
        let mut twice = value.clone();
        assert_eq!(normalise(builtin(), ty, &mut twice).map(|()| twice), Ok(value.clone()), "normal is normal");
        let mut kept = value.clone();
        shed(builtin(), ty, &mut kept, Written::Stored);
        assert_eq!(has_empties(builtin(), ty, &value), kept != value);
        assert!(!has_empties(builtin(), ty, &kept), "shed is shed");
        drop(stored::encode(&value));
        drop(protobuf::encode(builtin(), ty, &value));
        true
    });
}

#[test]
fn yaml_body() {
    let bomb =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c]\n";
    let keys_in_keys = format!("a:{}b", " ?".repeat(70));
    let seeds = [
        yaml::write(&sample()),
        bomb.to_owned(),
        keys_in_keys,
        "a: 0o17\n? b\n: - |+\n   x\n  - >-\n   y\n--- # z\n{<<: {c: !!str 1}}".to_owned(),
    ];
    ::fuzz::run(
        &seeds,
        &["&a ", "*a", "<<: ", "- ", "? ", "---\n", "!!binary ", "|\n", ">-\n", "0x", ".inf", "~", "%YAML 1.1\n", "\t"],
        |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return false };
            yaml::documents(text).for_each(drop);
            drop(yaml::duplicates(text));
            let Ok(value) = yaml::parse(text) else { return false };
            assert_eq!(yaml::parse(&yaml::write(&value)), Ok(value), "what we write we read");
            true
        },
    );
}

#[test]
fn protobuf_body() {
    let encoded = |object: &Value| type_of(object).map(|ty| protobuf::encode(builtin(), ty, object));
    let seeds: Vec<Vec<u8>> = objects().iter().filter_map(encoded).collect();
    ::fuzz::run(&seeds, &["k8s\0", "\x0a", "\x12", "\x1a", "\x22", "\x7f", "v1", "Pod"], |bytes| {
        let Ok((kind, value)) = protobuf::decode(builtin(), bytes) else { return false };
        let ty = builtin().type_of(&kind).expect("decoding knew the kind");
        let again = protobuf::encode(builtin(), ty, &value);
        let (_, twice) = protobuf::decode(builtin(), &again).expect("what we write we read");
        assert_eq!(twice, value);
        true
    });
}

/// An object that touches each shape of field.
pub(crate) fn sample() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a", "labels": {"x": "y"}, "annotations": {"\"a\"": "\\ \n é"},
        "creationTimestamp": "2026-11-22T10:00:00Z", "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}]},
        "spec": {"replicas": 3, "serviceName": "s", "selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {}, "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"httpGet": {"port": "http", "path": "/"}},
                "ports": [{"containerPort": 80}]}],
            "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}]}}},
        "status": {"replicas": 0}})
}

#[test]
fn deep_and_wide_messages_are_refused() {
    let ty = builtin().type_of(&GroupVersionKind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition")).expect("CRD");
    // A schema in a schema (`not`, tag 28), a thousand deep, built from the inside out.
    let schema = builtin().types.iter().position(|t| t.name.ends_with("v1.JSONSchemaProps")).expect("JSONSchemaProps");
    let mut message = Vec::new();
    for _ in 0..1_000 {
        let mut outer = vec![0xe2, 0x01];
        let mut len = message.len();
        while len >= 0x80 {
            outer.push(len as u8 | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend_from_slice(&message);
        message = outer;
    }
    assert!(protobuf::decode_message(builtin(), TypeId(schema as u32), &message).is_err());
    // Two bytes an item, more items than anyone needs.
    let field = builtin().get(ty).field("metadata").expect("metadata");
    let Shape::Struct(metadata) = field.shape else { panic!("metadata is a struct") };
    let wide: Vec<u8> = [0x6a, 0x00].repeat(1_100_000);
    assert!(protobuf::decode_message(builtin(), metadata, &wide).is_err());
}
