//! `docs/KINDS.md`: what each kind has, from the rows, the defaults and the recorded answers themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use kinds::{Shape, TypeId};
use serde_json::Value;

use super::{address, lines_of};
use crate::row;

const HEAD: &str = "# Kinds\n
What `strategies` has for each built-in kind; written by its tests (`UPDATE_EXPECT=1 cargo test -p strategies table`) and held current by
them. *Names*: the rule of a name. *Defaults*: rows and rules on the way through its types. *Steps*: what is done beyond the usual on
create (C) and update (U), and completed from the old object (O); G counts a generation. *Cases*: recorded answers of upstream to
creates, updates and writes of subresources; *faults*: different places and texts among them. *Stored*: faults that were put into the store past the server and then written over; *tolerated*:
where such a fault passes when something else changes. *Fixed*: what an update may not change.\n
| kind | names | defaults | steps | cases | faults | stored | tolerated | fixed |
|---|---|---|---|---|---|---|---|---|
";

/// A table's cell is for reading.
const PLACES_MAX: usize = 16;

/// What was recorded of one kind.
#[derive(Default)]
struct Recorded {
    n_creates: usize,
    n_updates: usize,
    n_parts: usize,
    n_refused_creates: usize,
    n_stored: usize,
    tolerated: BTreeSet<String>,
    faults: BTreeSet<(String, String)>,
    fixed: BTreeSet<String>,
}

fn recorded() -> BTreeMap<(String, String), Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/validation");
    let mut all: BTreeMap<_, Recorded> = BTreeMap::new();
    for entry in
        std::fs::read_dir(folder).expect("golden files").flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "jsonl"))
    {
        let text = std::fs::read_to_string(entry.path()).expect("a golden file");
        let (mut kind, mut is_update) = (Default::default(), false);
        let mut cases = Vec::new();
        for line in lines_of(&text) {
            cases.push(line.clone());
            if let Some(path) = line["path"].as_str() {
                let resource = address(path).0;
                (kind, is_update) = ((resource.group.clone(), resource.plural.clone()), false);
                cases.clear();
            } else if line["old"].is_object() {
                is_update = true;
            } else if line["kept"].is_u64() {
                let case = line["kept"].as_u64().and_then(|case| cases.get(usize::try_from(case).ok()?)).expect("a case");
                count_stored(all.entry(kind.clone()).or_default(), case, &line["said"]);
            } else {
                count(all.entry(kind.clone()).or_default(), &line, is_update);
            }
        }
    }
    all
}

fn count(recorded: &mut Recorded, case: &Value, is_update: bool) {
    let causes = case["want"].as_array().map_or(&[][..], Vec::as_slice);
    match (is_update, case["sub"].is_string()) {
        (false, _) => {
            recorded.n_creates += 1;
            recorded.n_refused_creates += usize::from(!causes.is_empty());
        }
        (true, false) => recorded.n_updates += 1,
        (true, true) => recorded.n_parts += 1,
    }
    for cause in causes {
        let (field, text) = (cause[0].as_str().unwrap_or(""), cause[1].as_str().unwrap_or(""));
        let field: String = field.chars().filter(|c| !c.is_ascii_digit()).collect();
        if text.ends_with(crate::check::IMMUTABLE) && !field.starts_with("metadata") {
            recorded.fixed.insert(field.clone());
        }
        recorded.faults.insert((field, text.rsplit(": ").next().unwrap_or("").to_owned()));
    }
}

/// A fault of a create, or of a status.
fn count_stored(recorded: &mut Recorded, case: &Value, said: &Value) {
    recorded.n_stored += 1;
    let is_tolerated = if case["sub"].is_string() { said[2] == 0 } else { said[0] == 0 };
    for cause in case["want"].as_array().into_iter().flatten().filter(|_| is_tolerated) {
        let is_of_change = cause[1].as_str().is_some_and(|text| text.ends_with(crate::check::IMMUTABLE) || text.contains("not change"));
        let field: String = cause[0].as_str().unwrap_or("").chars().filter(|c| !c.is_ascii_digit()).collect();
        if !is_of_change {
            recorded.tolerated.insert(field);
        }
    }
}

fn n_defaults(type_id: TypeId, seen: &mut BTreeSet<String>) -> usize {
    let ty = kinds::builtin().get(type_id);
    if !seen.insert(ty.name.clone()) {
        return 0;
    }
    let below = ty.fields.iter().map(|field| {
        let mut shape = &field.shape;
        while let Shape::List(item) | Shape::Map(item) = shape {
            shape = item;
        }
        usize::from(field.default.is_some()) + if let Shape::Struct(id) = shape { n_defaults(*id, seen) } else { 0 }
    });
    below.sum::<usize>() + crate::defaults::n_rows(&ty.name)
}

fn table() -> String {
    let recorded = recorded();
    let mut out = HEAD.to_owned();
    let mut shown = BTreeSet::new();
    for resource in &kinds::builtin().resources {
        let (row, kind) = (row::find(&resource.group, &resource.plural), (resource.group.clone(), resource.plural.clone()));
        if row.plural.is_empty() || !shown.insert(kind.clone()) {
            continue;
        }
        let of_kind = recorded.get(&kind);
        let steps =
            [(row.complete.is_some(), 'O'), (row.create.is_some(), 'C'), (row.update.is_some(), 'U'), (row.generation.is_some(), 'G')];
        let steps: String = steps.iter().filter(|(is, _)| *is).map(|(_, letter)| *letter).collect();
        let name = if kind.0.is_empty() { kind.1.clone() } else { format!("{}.{}", kind.1, kind.0) };
        let cases = of_kind.map_or_else(String::new, |r| format!("{} + {} + {}", r.n_creates, r.n_updates, r.n_parts));
        let faults = of_kind.map_or(0, |r| r.faults.len());
        let listed = |of: fn(&Recorded) -> &BTreeSet<String>| {
            let all = of_kind.map(|r| of(r).iter().map(String::as_str).collect::<Vec<_>>()).unwrap_or_default();
            let (first, rest) = all.split_at(all.len().min(PLACES_MAX));
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            first.join(", ") + &more
        };
        let (tolerated, fixed) = (listed(|r| &r.tolerated), listed(|r| &r.fixed));
        let n_stored = of_kind.map_or(0, |r| r.n_stored);
        let n_defaults = n_defaults(resource.type_id, &mut BTreeSet::new());
        writeln!(out, "| {name} | {:?} | {n_defaults} | {steps} | {cases} | {faults} | {n_stored} | {tolerated} | {fixed} |", row.name)
            .expect("text takes text");
    }
    out
}

#[test]
fn the_table_of_kinds_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/KINDS.md");
    let table = table();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &table).expect("the table can be written");
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == table, "docs/KINDS.md is old: UPDATE_EXPECT=1 writes it anew");
}

/// Their cases stand in the data of the differential tool: of a schema, a field at a time says little.
const ELSEWHERE: &[&str] = &["customresourcedefinitions"];

#[test]
fn whatever_is_checked_has_cases() {
    let recorded = recorded();
    let has_cases = |row: &row::Row| {
        let of_kind = recorded.get(&(row.group.to_owned(), row.plural.to_owned()));
        of_kind.is_some_and(|recorded| recorded.n_refused_creates > 0)
    };
    let rows = crate::groups::ROWS.iter().flat_map(|rows| rows.iter()).filter(|row| row.validate.is_some());
    let bare: Vec<&str> = rows.filter(|row| !has_cases(row)).map(|row| row.plural).collect();
    assert_eq!(bare, ELSEWHERE, "kinds without a recorded fault");
}
