//! Upstream's own vectors (`testdata/HEAD` of k8s.io/api): an object of every kind in JSON, YAML and protobuf, all fields filled.
//!
//! The vectors are not ours to copy: name their folder in CORACLE_API_TESTDATA to run these; without it they say they were skipped.

mod fuzz;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codec::{json, normalise, protobuf, strict, yaml};
use kinds::{TypeId, builtin};
use object::key::GroupVersionKind;
use serde_json::Value;

fn vectors(extension: &str) -> Vec<PathBuf> {
    let Ok(folder) = std::env::var("CORACLE_API_TESTDATA") else {
        eprintln!("skipped: CORACLE_API_TESTDATA is not set");
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).expect("the folder of vectors can be read");
    let mut paths: Vec<PathBuf> =
        entries.map(|e| e.expect("an entry").path()).filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

fn object(path: &Path) -> (TypeId, Value) {
    let parsed = json::parse(&std::fs::read(path.with_extension("json")).expect("a vector can be read")).expect("a vector is JSON");
    let kind =
        GroupVersionKind::from_api_version(parsed.value["apiVersion"].as_str().unwrap_or(""), parsed.value["kind"].as_str().unwrap_or(""));
    (builtin().type_of(&kind).unwrap_or(TypeId(u32::MAX)), parsed.value)
}

/// Runs `check` over all vectors of known kinds and shows every failure at once.
fn check_all(extension: &str, check: &dyn Fn(TypeId, &Value, &[u8]) -> Result<(), String>) {
    let (mut n_good, mut n_unknown, mut failures) = (0, 0, Vec::new());
    for path in vectors(extension) {
        let (ty, value) = object(&path);
        if ty.0 == u32::MAX {
            n_unknown += 1;
            continue;
        }
        match check(ty, &value, &std::fs::read(&path).expect("a vector can be read")) {
            Ok(()) => n_good += 1,
            Err(error) => failures.push(format!("{}: {error}", path.file_name().expect("a file").to_string_lossy())),
        }
    }
    eprintln!("{extension}: {n_good} good, {} bad, {n_unknown} of kinds that are not served", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn same(got: &Value, expected: &Value) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("\n got      {got}\n expected {expected}")) }
}

#[test]
fn protobuf_is_read_as_json_is() {
    check_all("pb", &|_, value, bytes| {
        let (_, decoded) = protobuf::decode(builtin(), bytes).map_err(|e| e.to_string())?;
        same(&decoded, value)
    });
}

#[test]
fn protobuf_is_written_byte_for_byte() {
    check_all("pb", &|ty, value, bytes| {
        let encoded = protobuf::encode(builtin(), ty, value);
        if encoded == bytes {
            return Ok(());
        }
        let at = encoded.iter().zip(bytes).position(|(a, b)| a != b);
        Err(format!("{} bytes instead of {}, first difference at {at:?}", encoded.len(), bytes.len()))
    });
}

#[test]
fn what_was_encoded_before_changes_no_message() {
    let transcoder = RefCell::new(protobuf::Transcoder::new(Arc::clone(builtin())));
    let same_message = |ty: TypeId, value: &Value| {
        let alone = protobuf::encode_message(builtin(), ty, value);
        for _ in 0..2 {
            let mut message = Vec::new();
            transcoder.borrow_mut().message(ty, value.to_string().as_bytes(), &mut message).map_err(|e| e.to_string())?;
            if message != alone {
                return Err(format!("{} bytes instead of {}", message.len(), alone.len()));
            }
        }
        Ok(())
    };
    check_all("json", &|ty, value, _| same_message(ty, value));
    // Without the vectors: every kind empty, and one that has most shapes, each of its parts left out in turn.
    for (i, ty) in builtin().types.iter().enumerate().filter(|(_, ty)| !ty.wire.is_empty()) {
        let id = TypeId(i as u32);
        assert_eq!(same_message(id, &codec::zero(builtin(), id)), Ok(()), "{}", ty.name);
    }
    let stateful_set = builtin().type_of(&GroupVersionKind::new("apps", "v1", "StatefulSet")).expect("StatefulSet");
    for place in ["", "/metadata", "/spec", "/spec/template/spec", "/spec/template/spec/containers/0", "/spec/template/spec/volumes/0"] {
        let whole = fuzz::sample();
        let names: Vec<&String> = whole.pointer(place).and_then(Value::as_object).expect("an object").keys().collect();
        for name in names {
            let mut object = whole.clone();
            object.pointer_mut(place).and_then(Value::as_object_mut).expect("an object").remove(name);
            assert_eq!(same_message(stateful_set, &object), Ok(()), "without {place}/{name}");
            assert_eq!(same_message(stateful_set, &whole), Ok(()), "after one without {place}/{name}");
        }
    }
}

#[test]
fn texts_that_differ_in_a_byte_become_what_each_becomes_alone() {
    let stateful_set = builtin().type_of(&GroupVersionKind::new("apps", "v1", "StatefulSet")).expect("StatefulSet");
    let encoded = |transcoder: &mut protobuf::Transcoder, text: &[u8]| {
        let mut message = Vec::new();
        transcoder.message(stateful_set, text, &mut message).map(|()| message)
    };
    let whole = fuzz::sample().to_string().into_bytes();
    let mut transcoder = protobuf::Transcoder::new(Arc::clone(builtin()));
    for at in 0..whole.len() {
        for byte in *b"a7\"\\{]," {
            let mut bent = whole.clone();
            bent[at] = byte;
            for text in [&whole, &bent] {
                let alone = encoded(&mut protobuf::Transcoder::new(Arc::clone(builtin())), text);
                assert_eq!(encoded(&mut transcoder, text), alone, "{}", String::from_utf8_lossy(text));
            }
        }
    }
}

#[test]
fn gos_own_json_is_already_in_gos_form() {
    check_all("json", &|ty, value, bytes| {
        let parsed = json::parse(bytes).map_err(|e| e.to_string())?;
        let faults = strict::check_json(builtin(), ty, &parsed, bytes);
        if !faults.is_empty() {
            return Err(faults.join(", "));
        }
        let mut normal = value.clone();
        normalise(builtin(), ty, &mut normal)?;
        same(&normal, value)
    });
}

#[test]
fn yaml_is_read_and_written_as_upstream_does() {
    check_all("yaml", &|_, value, bytes| {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        same(&yaml::parse(text).map_err(|e| e.to_string())?, value)?;
        let written = yaml::write(value);
        if written == text { Ok(()) } else { Err(written) }
    });
}
