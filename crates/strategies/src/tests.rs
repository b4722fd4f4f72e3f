//! Golden answers of a kube-apiserver 1.37.1 (`golden/*.jsonl`), and the invariants of the tables.
//!
//! A line of `create.jsonl` is what was sent where, and what came back; `elsewhere` lists what admission or allocators decided there.

mod kept;
mod replay;
mod table;

use std::collections::BTreeSet;

use authz::UserInfo;
use jiff::Timestamp;
use kinds::Resource;
use serde_json::{Value, json};

use crate::allotment::{Pool, Refusal, ServiceSettings, allot};
use crate::{Context, canonicalize, default, groups, prepare_create, validate_create};

const NOW: &str = "2026-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn user() -> UserInfo {
    UserInfo { name: "admin".to_owned(), uid: "admin-uid".to_owned(), ..UserInfo::default() }
}

/// The resource and namespace of `/apis/apps/v1/namespaces/default/deployments`.
fn address(path: &str) -> (&'static Resource, &str) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = if parts[0] == "api" { ("", parts[1], &parts[2..]) } else { (parts[1], parts[2], &parts[3..]) };
    let (namespace, plural) = if rest.len() > 2 { (rest[1], rest[2]) } else { ("", rest[0]) };
    (kinds::builtin().resource(group, version, plural).unwrap_or_else(|| panic!("no resource {path}")), namespace)
}

/// What the engine does around the stages: system metadata, what is allotted.
fn created(path: &str, sent: &Value) -> Value {
    judged(path, sent).0
}

/// The same with what is wrong with it.
fn judged(path: &str, sent: &Value) -> (Value, Vec<object::field::Error>) {
    let (resource, namespace) = address(path);
    let mut object = sent.clone();
    object["apiVersion"] = json!(resource.gvk().api_version());
    object["kind"] = json!(resource.kind);
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    default(kinds::builtin(), resource.type_id, &mut object, now());
    crate::complete(resource, "", None, &mut object);
    let refused = allotted(resource, None, &mut object).err();
    object["metadata"]["uid"] = json!("UID");
    object["metadata"]["creationTimestamp"] = json!(NOW);
    let context = Context { catalog: kinds::builtin(), now: now(), user: &user() };
    prepare_create(resource, &mut object, &context);
    let mut faults = crate::validate_place(resource, "", None, &object, &|| None);
    faults.extend(refused.unwrap_or_else(|| validate_create(resource, &object)));
    canonicalize(resource, &mut object);
    (object, faults)
}

fn is_service(resource: &Resource) -> bool {
    (resource.group.as_str(), resource.plural.as_str()) == ("", "services")
}

/// What a dry run gives a Service where nothing is taken; the recorders made dry runs.
fn allotted(resource: &Resource, old: Option<&Value>, new: &mut Value) -> Result<(), Vec<object::field::Error>> {
    if !is_service(resource) {
        return Ok(());
    }
    let ranges = ["10.96.0.0/16", "fd00:96::/112"].iter().filter_map(|range| range.parse().ok()).collect();
    let settings = ServiceSettings { ranges, ..ServiceSettings::default() };
    let pool = Pool { settings: &settings, is_dry_run: true, random: &|| 0, is_address_taken: &|_| false, is_port_taken: &|_| false };
    match allot(&pool, old, new) {
        Err(Refusal::Invalid(faults)) => Err(faults),
        _ => Ok(()),
    }
}

fn remove(object: &mut Value, pointer: &str) {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer has a slash");
    if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.remove(field);
    }
}

fn lines_of(file: &str) -> impl Iterator<Item = Value> {
    file.lines().map(|line| serde_json::from_str(line).expect("a golden line is JSON"))
}

#[test]
fn creates_come_out_as_upstreams() {
    for case in lines_of(include_str!("../golden/create.jsonl")) {
        let path = case["path"].as_str().expect("a path");
        let (mut got, mut want) = (created(path, &case["send"]), case["want"].clone());
        for pointer in case["elsewhere"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            remove(&mut got, pointer);
            remove(&mut want, pointer);
        }
        assert_eq!(masked(address(path).0, &got), want, "{path} {}", case["send"]);
    }
}

/// As it is read from the store once it is written, without what differs from run to run: times that were stamped are the fixed one in
/// the golden lines.
fn masked(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    if codec::has_empties(kinds::builtin(), resource.type_id, &object) {
        codec::shed(kinds::builtin(), resource.type_id, &mut object, codec::Written::Stored);
        default(kinds::builtin(), resource.type_id, &mut object, now());
    }
    for field in ["uid", "creationTimestamp", "managedFields", "resourceVersion"] {
        remove(&mut object, &format!("/metadata/{field}"));
    }
    object
}

#[test]
fn defaulting_twice_changes_nothing() {
    for case in lines_of(include_str!("../golden/create.jsonl")) {
        let path = case["path"].as_str().expect("a path");
        let (resource, _) = address(path);
        let once = created(path, &case["send"]);
        let mut twice = once.clone();
        default(kinds::builtin(), resource.type_id, &mut twice, now());
        assert_eq!(once, twice, "{path}");
    }
}

/// A line with `send` is an object; each line after it puts a value at a place in it (none: takes what is there away) and has the
/// causes of the answer, its field and its text. `unordered` where upstream walks a map.
#[test]
fn faults_are_upstreams() {
    let (mut path, mut base) = (String::new(), Value::Null);
    for line in lines_of(include_str!("../golden/validate.jsonl")) {
        if line["path"].is_string() {
            (path, base) = (line["path"].as_str().unwrap_or("").to_owned(), line["send"].clone());
            continue;
        }
        let mut sent = base.clone();
        put(&mut sent, line["at"].as_array().expect("a place"), line.get("put"));
        let mut got: Vec<Value> = judged(&path, &sent).1.iter().map(|f| json!([f.path, f.body()])).collect();
        let mut want = line["want"].as_array().expect("causes").clone();
        if line["unordered"] == true {
            got.sort_by_key(ToString::to_string);
            want.sort_by_key(ToString::to_string);
        }
        assert!(got.len() == want.len() && got.iter().zip(&want).all(|(got, want)| is_cause(got, want)), "{path} {}: {got:?}", line["at"]);
    }
}

/// Long texts have an ellipsis where they were cut.
fn is_cause(got: &Value, want: &Value) -> bool {
    let (got_text, want_text) = (got[1].as_str().unwrap_or(""), want[1].as_str().unwrap_or(""));
    let is_text =
        want_text.split_once('…').map_or(got_text == want_text, |(start, end)| got_text.starts_with(start) && got_text.ends_with(end));
    got[0] == want[0] && is_text
}

fn put(object: &mut Value, at: &[Value], value: Option<&Value>) {
    let Some((last, way)) = at.split_last() else { return };
    let mut place = object;
    for step in way {
        place = match step {
            Value::String(field) => &mut place[field.as_str()],
            index => &mut place[usize::try_from(index.as_u64().expect("an index")).expect("small")],
        };
    }
    match (place, last) {
        (Value::Object(map), Value::String(field)) => {
            match value {
                Some(value) => map.insert(field.clone(), value.clone()),
                None => map.remove(field),
            };
        }
        (Value::Array(items), index) => {
            let index = usize::try_from(index.as_u64().expect("an index")).expect("small");
            match value {
                Some(value) => items[index] = value.clone(),
                None => {
                    items.remove(index);
                }
            }
        }
        (place @ Value::Null, Value::String(field)) => *place = json!({field.as_str(): value}),
        // The recorder found nothing to change there either.
        _ => {}
    }
}

#[test]
fn names_by_kind() {
    let check = |path: &str, object: Value, is_fine: bool| {
        let (resource, _) = address(path);
        let mut faults = validate_create(resource, &object);
        faults.retain(|fault| fault.path == "metadata.name");
        assert_eq!(faults.is_empty(), is_fine, "{path} {object}: {faults:?}");
    };
    for (name, is_fine) in [("10.0.0.1", true), ("fe80::42:1dff:fe84:f9e2", true), ("010.0.0.1", false), ("fe80:0::1", false), ("a", false)]
    {
        check("/apis/networking.k8s.io/v1/ipaddresses", json!({"metadata": {"name": name}}), is_fine);
    }
    for (name, signer, is_fine) in
        [("a", "", true), ("a:b", "", false), ("a.b:c:d", "a.b/c", true), ("a.b:d", "a.b/c", false), ("a.b:c:D", "a.b/c", false)]
    {
        let bundle = json!({"metadata": {"name": name}, "spec": {"signerName": signer}});
        check("/apis/certificates.k8s.io/v1/clustertrustbundles", bundle, is_fine);
    }
}

#[test]
fn every_kind_has_one_row_and_every_row_a_kind() {
    let kept: BTreeSet<(&str, &str)> = kinds::builtin()
        .resources
        .iter()
        .filter(|r| r.has_verb("create") && (r.has_verb("update") || r.has_verb("delete")))
        .map(|r| (r.group.as_str(), r.plural.as_str()))
        .collect();
    let rows: Vec<(&str, &str)> = groups::ROWS.iter().flat_map(|rows| rows.iter()).map(|row| (row.group, row.plural)).collect();
    assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), kept);
    assert_eq!(rows.len(), kept.len());
}
