//! Upstream's default roles and bindings, read from the fact table beside this file, and how they are kept up to date at start.

use object::meta;
use serde_json::{Map, Value, json};

use crate::rule::{Rule, missing};

const TABLE: &str = include_str!("bootstrap.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// All of them, roles before bindings.
pub fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(rule) => {
                let role = objects.last_mut().expect("a rule follows its role");
                match &mut role["rules"] {
                    Value::Array(rules) => rules.push(rule_of(rule)),
                    empty => *empty = json!([rule_of(rule)]),
                }
            }
            None => objects.push(object_of(line)),
        }
    }
    objects
}

fn words(list: &str) -> Vec<&str> {
    list.split(',').collect()
}

fn rule_of(line: &str) -> Value {
    let columns: Vec<&str> = line.split(" | ").collect();
    let verbs = words(columns[0]);
    match columns[1..] {
        [urls] => json!({"verbs": verbs, "nonResourceURLs": words(urls)}),
        [groups, resources, ref names @ ..] => {
            let groups: Vec<&str> = words(groups).into_iter().map(|g| if g == "core" { "" } else { g }).collect();
            let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": words(resources)});
            if let [names] = names {
                rule["resourceNames"] = json!(words(names));
            }
            rule
        }
        [] => unreachable!("every rule of the table has two columns or more"),
    }
}

fn object_of(line: &str) -> Value {
    let (head, subjects) = line.split_once(" :").unwrap_or((line, ""));
    let (head, role_ref) = head.split_once(" -> ").unwrap_or((head, ""));
    let mut parts = head.split(' ');
    let kind = match parts.next() {
        Some("clusterrole") => "ClusterRole",
        Some("role") => "Role",
        Some("clusterbinding") => "ClusterRoleBinding",
        _ => "RoleBinding",
    };
    let namespace = if kind.starts_with("Cluster") { None } else { parts.next() };
    let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    let mut metadata = json!({"name": parts.next(), "annotations": {AUTO_UPDATE: "true"}});
    if let Some(namespace) = namespace {
        metadata["namespace"] = Value::from(namespace);
    }
    let mut object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind});
    let mut selectors = Vec::new();
    for mark in parts {
        let (sign, name) = mark.split_at(1);
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
        match sign {
            "+" => labels[label] = Value::from("true"),
            _ => selectors.push(json!({"matchLabels": {label: "true"}})),
        }
    }
    metadata["labels"] = labels;
    object["metadata"] = metadata;
    if let Some((role_kind, role)) = role_ref.split_once('/') {
        object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
        let subjects: Vec<Value> = subjects.split_whitespace().map(subject_of).collect();
        if !subjects.is_empty() {
            object["subjects"] = Value::Array(subjects);
        }
    } else {
        object["rules"] = Value::Null;
    }
    if !selectors.is_empty() {
        object["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
    }
    object
}

fn subject_of(text: &str) -> Value {
    let (kind, name) = text.split_once('/').expect("subjects are KIND/NAME");
    match name.split_once('/').filter(|_| kind == "ServiceAccount") {
        Some((namespace, name)) => json!({"kind": kind, "namespace": namespace, "name": name}),
        None => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
    }
}

/// What a start must do about one of `objects()` that exists already.
#[derive(Clone, Debug, PartialEq)]
pub enum Reconciled {
    /// Nothing lacks, or its owner has opted out by annotation.
    UpToDate,
    Update(Value),
    /// A binding's role cannot be changed: delete it and create the wanted one.
    Replace,
}

/// Adds what lacks and takes nothing away, as upstream does at every start.
pub fn reconcile(wanted: &Value, existing: &Value) -> Reconciled {
    if meta::annotation(existing, AUTO_UPDATE) == Some("false") {
        return Reconciled::UpToDate;
    }
    if wanted["roleRef"] != existing["roleRef"] {
        return Reconciled::Replace;
    }
    let mut result = existing.clone();
    for field in ["annotations", "labels"] {
        let mut merged = wanted["metadata"][field].as_object().cloned().unwrap_or_default();
        merged.extend(existing["metadata"][field].as_object().cloned().unwrap_or_default());
        if existing["metadata"][field].as_object().unwrap_or(&Map::new()) != &merged {
            meta::set(&mut result, field, merged);
        }
    }
    let held = Rule::list_of(existing);
    let lacking = missing(held.iter(), &Rule::list_of(wanted)).into_iter().map(|rule| rule.to_value()).collect();
    append(&mut result["rules"], lacking);
    let absent = |wanted: &Value, existing: &Value| -> Vec<Value> {
        let existing = existing.as_array().map_or(&[][..], Vec::as_slice);
        wanted.as_array().into_iter().flatten().filter(|item| !existing.contains(item)).cloned().collect()
    };
    if existing.get("roleRef").is_some() {
        let subjects = absent(&wanted["subjects"], &existing["subjects"]);
        append(&mut result["subjects"], subjects);
    }
    let (wanted_rule, existing_rule) = (&wanted["aggregationRule"], &existing["aggregationRule"]);
    if wanted_rule.is_null() {
        result.as_object_mut().expect("an object").remove("aggregationRule");
    } else {
        let selectors = absent(&wanted_rule["clusterRoleSelectors"], &existing_rule["clusterRoleSelectors"]);
        append(&mut result["aggregationRule"]["clusterRoleSelectors"], selectors);
    }
    // Indexing by a missing field leaves a null behind; such fields are absent in what was read.
    if let Some(map) = result.as_object_mut() {
        map.retain(|key, value| !value.is_null() || existing.get(key).is_some());
    }
    if result == *existing { Reconciled::UpToDate } else { Reconciled::Update(result) }
}

fn append(list: &mut Value, items: Vec<Value>) {
    if items.is_empty() {
        return;
    }
    match list {
        Value::Array(list) => list.extend(items),
        empty => *empty = Value::Array(items),
    }
}
