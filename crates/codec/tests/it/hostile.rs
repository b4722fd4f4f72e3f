//! Decoders on damaged input: any answer will do but a panic.

use codec::{json, normalise, protobuf, stored, strict};
use kinds::{Shape, TypeId, builtin};
use object::key::GroupVersionKind;
use serde_json::{Value, json};

/// xorshift: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
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

fn exercise(bytes: &[u8]) {
    let ty = builtin().type_of(&GroupVersionKind::new("apps", "v1", "StatefulSet")).expect("StatefulSet");
    let _ = protobuf::Transcoder::default().message(builtin(), ty, bytes, &mut Vec::new());
    if let Ok((kind, value)) = protobuf::decode(builtin(), bytes) {
        let ty = builtin().type_of(&kind).expect("decoding knew the kind");
        let again = protobuf::encode(builtin(), ty, &value);
        let (_, twice) = protobuf::decode(builtin(), &again).expect("what we write we read");
        assert_eq!(twice, value);
    }
    if let Ok(parsed) = json::parse(bytes) {
        for name in ["StatefulSet", "DeleteOptions"] {
            let Some(ty) = builtin().type_of(&GroupVersionKind::new("apps", "v1", name)) else { continue };
            drop(strict::check_json(builtin(), ty, &parsed, bytes));
            let mut value = parsed.value.clone();
            if normalise(builtin(), ty, &mut value).is_ok() {
                drop(stored::encode(&value));
                drop(protobuf::encode(builtin(), ty, &value));
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(codec::yaml::parse(text));
        drop(codec::yaml::duplicates(text));
    }
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => drop(bytes.remove(at)),
            2 => bytes.insert(at, random.next() as u8),
            _ => bytes.truncate(at),
        }
    }
}

#[test]
fn damaged_bodies_never_panic() {
    let sample = sample();
    let ty = builtin().type_of(&GroupVersionKind::new("apps", "v1", "StatefulSet")).expect("StatefulSet");
    let seeds =
        [protobuf::encode(builtin(), ty, &sample), sample.to_string().into_bytes(), codec::yaml::write(&sample).into_bytes(), Vec::new()];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..6_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        damage(&mut random, &mut bytes);
        exercise(&bytes);
    }
    for _ in 0..2_000 {
        let len = random.below(64);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        exercise(&bytes);
        // And as the message of an envelope.
        bytes = protobuf::close("apps/v1", "StatefulSet", &bytes);
        exercise(&bytes);
    }
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
