//! What a kube-apiserver 1.37.1 said of faulty objects (`golden/validation/*.jsonl`, written by `cargo xtask record-validation`, which
//! explains the lines), asked again here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinds::Resource;
use serde_json::{Value, json};

use super::kept::Kept;
use super::{NOW, address, allotted, created, is_cause, judged, masked, now, put, user};
use crate::{Context, canonicalize, default, prepare_update, validate_update, warnings};

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
                let (object, faults) = judged(&self.path, &object);
                (object, faults, said)
            }
            Some(old) => return updated(self.resource, subresource, old, object),
        };
        (object, causes(&faults), warnings)
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
        let (got, expected) = (masked(self.resource, &got), masked(self.resource, &expected));
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

/// What a write over `old` comes to.
pub(super) fn updated(resource: &Resource, subresource: &str, old: &Value, mut object: Value) -> (Value, Vec<Value>, Vec<String>) {
    default(kinds::builtin(), resource.type_id, &mut object, now());
    crate::complete(resource, subresource, Some(old), &mut object);
    let refused = if subresource.is_empty() { allotted(resource, Some(old), &mut object).err() } else { None };
    let said = warnings(resource, subresource, Some(old), &object);
    let context = Context { catalog: kinds::builtin(), now: now(), user: &user() };
    prepare_update(resource, subresource, old, &mut object, &context);
    let faults = refused.unwrap_or_else(|| validate_update(resource, subresource, old, &object));
    canonicalize(resource, &mut object);
    (object, causes(&faults), said)
}

fn causes(faults: &[object::field::Error]) -> Vec<Value> {
    faults.iter().map(|f| json!([f.path, f.body()])).collect()
}

fn defaulted(resource: &Resource, path: &str, object: &Value) -> Value {
    let mut object = object.clone();
    if !address(path).1.is_empty() {
        object["metadata"]["namespace"] = json!(address(path).1);
    }
    default(kinds::builtin(), resource.type_id, &mut object, now());
    object
}

/// As the engine has it: with what the recorder leaves out.
pub(super) fn stored(old: &Value) -> Value {
    let mut old = old.clone();
    for (field, value) in [("uid", "UID"), ("creationTimestamp", NOW), ("resourceVersion", "1")] {
        old["metadata"][field] = json!(value);
    }
    old
}

/// All cases of one file: how many, and what is wrong with them. A seed and the lines after it stand for themselves, so they go to as
/// many threads as there are.
fn complaints(text: &str) -> (usize, Vec<String>) {
    let text = text.replace("<long>", &"a".repeat(260));
    let mut parts: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        match parts.last_mut() {
            Some(part) if !line.contains("\"send\":") => part.push(line),
            _ => parts.push(vec![line]),
        }
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((i, part)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, parts.get(i)?))) {
                    let complaints = complaints_of_seed(part);
                    found.lock().expect("no thread has panicked").push((i, complaints));
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no thread has panicked");
    found.sort_by_key(|(i, _)| *i);
    let n_cases = found.iter().map(|(_, (n_cases, _))| n_cases).sum();
    (n_cases, found.into_iter().flat_map(|(_, (_, complaints))| complaints).collect())
}

fn complaints_of_seed(lines: &[&str]) -> (usize, Vec<String>) {
    let parse = |line: &str| -> Value { serde_json::from_str(line).expect("a golden line is JSON") };
    let (mut ground, mut complaints) = (Ground::new(&parse(lines[0])), Vec::new());
    let mut n_cases = 0;
    let lines: Vec<Value> = lines[1..].iter().map(|line| parse(line)).collect();
    for line in &lines {
        if line["old"].is_object() {
            ground.old = Some(stored(&line["old"]));
        } else if line["kept"].is_u64() {
            let kept = Kept::new(&ground.path, ground.resource, ground.old.as_ref().expect("an old object"), &lines, line);
            n_cases += kept.n_answers();
            complaints.extend(kept.complaints());
        } else {
            n_cases += 1;
            complaints.extend(ground.complaint(line));
        }
    }
    (n_cases, complaints)
}

/// Cases that are known to be answered differently, one a line below its reason; what is not in the list may not differ, what no longer
/// differs must leave it (`UPDATE_EXPECT=1` writes it anew), and nothing is in it without a reason.
const KNOWN: &str = "golden/validation/differences.txt";

/// Parts of what a case says and of what is wrong with it, all of which a reason speaks of. The first that fits holds.
const REASONS: &[(&[&str], &str)] = &[
    (
        &["of a stored", "/services at ", " {\"apiVersion"],
        "upstream fills Services in when it reads them, and drops what their type does not use",
    ),
    (
        &["of a stored", "/persistentvolumeclaims at ", "dataSourceRef"],
        "upstream copies a claim's source to where it once was when it reads it",
    ),
    (&["compilation failed"], "expressions of devices are not compiled"),
    (&["\"generation\":1", "\"generation\":2"], "upstream counts a generation for what it then leaves out"),
    (&["/jobs at [\"spec\",\"template\"", "made {"], "upstream labels such a job when it reads it again, which a dry run does not"),
    (&["certificatesigningrequests", "groups"], "the groups of a request are those of whoever asks: the recorder has other ones"),
    (&["certificatesigningrequests", "ECDSA verification failure"], "signatures with P-521 are not verified"),
    (&["podcertificaterequests", "invalid signature"], "signatures with P-521 are not verified"),
    (&["volumeClaimTemplates", "healthStatus"], "upstream keeps a field behind a closed gate in a claim's template"),
    (&["/apiservices at [\"metadata\""], "upstream looks at the metadata four times, and says so"),
    (&["/limitranges at [\"metadata\",\"name\"]"], "upstream draws a name at random, which nothing here may"),
    (&["/persistentvolumes at", "\"key\""], "upstream takes a key without text for any other"),
    (&["/ingresses at", "apiGroup"], "an absent group of a resource is written as null upstream"),
    (&["of a stored", "put {}"], "the recorder stored an empty map, as JSON, which upstream compares with none as if it were another"),
];

fn reason(complaint: &str) -> Option<&'static str> {
    REASONS.iter().find(|(parts, _)| parts.iter().all(|part| complaint.contains(part))).map(|(_, reason)| *reason)
}

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
    let unexplained: Vec<&String> = all.iter().filter(|complaint| reason(complaint).is_none()).take(SHOWN_MAX).collect();
    assert!(
        unexplained.is_empty(),
        "answers that differ for no known reason:\n{}",
        unexplained.into_iter().cloned().collect::<Vec<_>>().join("\n")
    );
    let mut differing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for complaint in &all {
        differing.entry(reason(complaint).unwrap_or("")).or_default().insert(headline(complaint));
    }
    let listed: String =
        differing.iter().map(|(reason, cases)| format!("# {reason}\n{}\n", cases.iter().cloned().collect::<Vec<_>>().join("\n"))).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(root.join(KNOWN), &listed).expect("the list can be written");
    }
    let known = std::fs::read_to_string(root.join(KNOWN)).unwrap_or_default();
    let (known, differing): (BTreeSet<&str>, BTreeSet<&str>) = (known.lines().collect(), listed.lines().collect());
    let new: Vec<&String> = all.iter().filter(|complaint| !known.contains(headline(complaint).as_str())).take(SHOWN_MAX).collect();
    assert!(new.is_empty(), "answers that differ:\n{}", new.into_iter().cloned().collect::<Vec<_>>().join("\n"));
    let gone: Vec<&&str> = known.difference(&differing).take(SHOWN_MAX).collect();
    assert!(gone.is_empty(), "no longer different, so to be taken from {KNOWN}: {gone:#?}");
}
