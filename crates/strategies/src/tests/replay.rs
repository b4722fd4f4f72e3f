//! What a kube-apiserver 1.37.1 said of faulty objects (`golden/validation/*.jsonl`, written by `cargo xtask record-validation`, which
//! explains the lines), asked again here.

use std::collections::BTreeSet;
use std::path::Path;

use kinds::Resource;
use serde_json::{Value, json};

use super::{NOW, address, created, is_cause, lines_of, now, put, remove, user};
use crate::{Context, default, prepare_update, validate_create, validate_update, warnings};

/// Enough to see what is wrong.
const SHOWN_MAX: usize = 40;

/// What the lines after a seed speak of.
struct Ground {
    path: String,
    resource: &'static Resource,
    sent: Value,
    /// What our create makes of it.
    base: Value,
    /// What an update starts from, once its line has come.
    old: Option<Value>,
}

impl Ground {
    fn new(seed: &Value) -> Self {
        let path = seed["path"].as_str().expect("a path").to_owned();
        let base = created(&path, &seed["send"]);
        Ground { resource: address(&path).0, sent: seed["send"].clone(), base, old: None, path }
    }

    /// The object, its faults and its warnings.
    fn answer(&self, case: &Value) -> (Value, Vec<Value>, Vec<String>) {
        let at = case["at"].as_array().expect("a place");
        let subresource = case["sub"].as_str().unwrap_or("");
        let mut object = self.old.as_ref().unwrap_or(&self.sent).clone();
        put(&mut object, at, case.get("put"));
        let (object, faults, warnings) = match &self.old {
            None => {
                let said = warnings(self.resource, "", None, &defaulted(self.resource, &self.path, &object));
                let object = created(&self.path, &object);
                let faults = validate_create(self.resource, &object);
                (object, faults, said)
            }
            Some(old) => {
                default(kinds::builtin(), self.resource.type_id, &mut object, now());
                crate::complete(self.resource, subresource, Some(old), &mut object);
                let said = warnings(self.resource, subresource, Some(old), &object);
                let context = Context { catalog: kinds::builtin(), now: now(), user: &user() };
                prepare_update(self.resource, subresource, old, &mut object, &context);
                let faults = validate_update(self.resource, subresource, old, &object);
                (object, faults, said)
            }
        };
        (object, faults.iter().map(|f| json!([f.path, f.body()])).collect(), warnings)
    }

    fn complaint(&self, case: &Value) -> Option<String> {
        let (got, mut faults, warnings) = self.answer(case);
        let shown = || format!("{} {} at {} put {}", self.verb(case), self.path, case["at"], case.get("put").unwrap_or(&json!("-")));
        let mut want = case["want"].as_array().cloned().unwrap_or_default();
        if case["unordered"] == true {
            faults.sort_by_key(ToString::to_string);
            want.sort_by_key(ToString::to_string);
        }
        if faults.len() != want.len() || !faults.iter().zip(&want).all(|(got, want)| is_cause(got, want)) {
            return Some(format!("{}\n  got  {}\n  want {}", shown(), json!(faults), json!(want)));
        }
        if !want.is_empty() {
            return None;
        }
        if json!(warnings) != *case.get("warn").unwrap_or(&json!([])) {
            return Some(format!("{}\n  warns {}\n  want  {}", shown(), json!(warnings), case["warn"]));
        }
        let mut expected = self.old.as_ref().unwrap_or(&self.base).clone();
        put(&mut expected, case["at"].as_array().expect("a place"), case.get("put"));
        for change in case["then"].as_array().into_iter().flatten() {
            put(&mut expected, change[0].as_array().expect("a place"), change.get(1));
        }
        let (got, expected) = (masked(&got), masked(&expected));
        (got != expected).then(|| format!("{}\n  made {got}\n  want {expected}", shown()))
    }

    fn verb(&self, case: &Value) -> String {
        match (&self.old, case["sub"].as_str()) {
            (None, _) => "create".to_owned(),
            (Some(_), None) => "update".to_owned(),
            (Some(_), Some(subresource)) => format!("update {subresource} of"),
        }
    }
}

fn defaulted(resource: &Resource, path: &str, object: &Value) -> Value {
    let mut object = object.clone();
    if !address(path).1.is_empty() {
        object["metadata"]["namespace"] = json!(address(path).1);
    }
    default(kinds::builtin(), resource.type_id, &mut object, now());
    object
}

fn masked(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["uid", "creationTimestamp", "managedFields", "resourceVersion"] {
        remove(&mut object, &format!("/metadata/{field}"));
    }
    object
}

/// As the engine has it: with what the recorder leaves out.
fn stored(old: &Value) -> Value {
    let mut old = old.clone();
    for (field, value) in [("uid", "UID"), ("creationTimestamp", NOW), ("resourceVersion", "1")] {
        old["metadata"][field] = json!(value);
    }
    old
}

fn complaints(text: &str) -> (usize, Vec<String>) {
    let text = text.replace("<long>", &"a".repeat(260));
    let (mut ground, mut complaints, mut n_cases) = (None, Vec::new(), 0);
    for line in lines_of(&text) {
        if line["send"].is_object() {
            ground = Some(Ground::new(&line));
        } else if let Some(ground) = &mut ground {
            if line["old"].is_object() {
                ground.old = Some(stored(&line["old"]));
            } else {
                n_cases += 1;
                complaints.extend(ground.complaint(&line));
            }
        }
    }
    (n_cases, complaints)
}

/// Cases that are known to be answered differently, one a line; what is not in the list may not differ, and what no longer differs must
/// leave it (`UPDATE_EXPECT=1` writes it anew).
const KNOWN: &str = "golden/validation/differences.txt";

#[test]
fn faulty_objects_are_answered_as_upstream_answers_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let only = std::env::var("GOLDEN").unwrap_or_default();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root.join("golden/validation")).expect("golden files").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".jsonl") || !name.starts_with(&only) {
            continue;
        }
        let (n_cases, complaints) = complaints(&std::fs::read_to_string(entry.path()).expect("a golden file"));
        println!("{name}: {n_cases} cases, {} other than upstream's", complaints.len());
        all.extend(complaints);
    }
    if !only.is_empty() {
        assert!(all.is_empty(), "these answers differ:\n{}", all.join("\n"));
        return;
    }
    let headline = |complaint: &String| complaint.lines().next().unwrap_or("").replace(&"a".repeat(260), "<long>");
    let differing: BTreeSet<String> = all.iter().map(headline).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let lines: Vec<&str> = differing.iter().map(String::as_str).collect();
        std::fs::write(root.join(KNOWN), lines.join("\n") + "\n").expect("the list can be written");
    }
    let known = std::fs::read_to_string(root.join(KNOWN)).unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.is_empty()).collect();
    let new: Vec<&String> = all.iter().filter(|complaint| !known.contains(headline(complaint).as_str())).take(SHOWN_MAX).collect();
    assert!(new.is_empty(), "answers that differ:\n{}", new.into_iter().cloned().collect::<Vec<_>>().join("\n"));
    let gone: Vec<&&str> = known.iter().filter(|line| !differing.contains(**line)).take(SHOWN_MAX).collect();
    assert!(gone.is_empty(), "no longer different, so to be taken from {KNOWN}: {gone:#?}");
}
