//! Where a pod may go: affinities, tolerations, spreading.

use std::collections::HashSet;
use std::num::IntErrorKind;

use object::names;

use crate::check::{At, Faults};

pub(super) fn validate_affinity(affinity: &At<'_>, faults: &mut Faults) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = affinity.get("nodeAffinity");
    let required = node.get(REQUIRED);
    if required.is_set() {
        validate_node_selector(&required, faults);
    }
    for preferred in node.get(PREFERRED).items() {
        validate_weight(&preferred.get("weight"), faults);
        validate_term(&preferred.get("preference"), false, faults);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.get(name);
        for term in pods.get(REQUIRED).items() {
            validate_pod_term(&term, faults);
        }
        for weighted in pods.get(PREFERRED).items() {
            validate_weight(&weighted.get("weight"), faults);
            validate_pod_term(&weighted.get("podAffinityTerm"), faults);
        }
    }
}

fn validate_weight(at: &At<'_>, faults: &mut Faults) {
    if !(1..=100).contains(&at.int()) {
        faults.invalid_int(at, "must be in the range 1-100");
    }
}

pub(crate) fn validate_node_selector(selector: &At<'_>, faults: &mut Faults) {
    let terms = selector.get("nodeSelectorTerms");
    if terms.is_empty() {
        faults.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        validate_term(&term, true, faults);
    }
}

fn validate_term(term: &At<'_>, checks_values: bool, faults: &mut Faults) {
    for requirement in term.get("matchExpressions").items() {
        validate_expression(&requirement, checks_values, faults);
    }
    for requirement in term.get("matchFields").items() {
        validate_field(&requirement, faults);
    }
}

fn validate_expression(requirement: &At<'_>, checks_values: bool, faults: &mut Faults) {
    let (operator, values) = (requirement.get("operator"), requirement.get("values"));
    match (operator.text(), values.len()) {
        ("In" | "NotIn", 0) => faults.required(&values, "must be specified when `operator` is 'In' or 'NotIn'"),
        ("Exists" | "DoesNotExist", 1..) => {
            faults.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        ("Gt" | "Lt", 0 | 2..) => faults.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'"),
        ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt", _) => {}
        _ => faults.invalid_text(&operator, "not a valid selector operator"),
    }
    faults.qualified_name(&requirement.get("key"));
    for value in values.items().filter(|_| checks_values) {
        faults.tolerable("values of node selectors", |faults| faults.each(&value, names::label_value_faults(value.text())));
    }
}

fn validate_field(requirement: &At<'_>, faults: &mut Faults) {
    let (key, operator, values) = (requirement.get("key"), requirement.get("operator"), requirement.get("values"));
    if !matches!(operator.text(), "In" | "NotIn") {
        faults.invalid_text(&operator, "not a valid selector operator");
    } else if values.len() != 1 {
        faults.required(&values, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    }
    if key == "metadata.name" {
        for value in values.items() {
            faults.subdomain(&value);
        }
    } else {
        faults.invalid_text(&key, "not a valid field selector key");
    }
}

fn validate_pod_term(term: &At<'_>, faults: &mut Faults) {
    faults.selector(&term.get("labelSelector"));
    faults.selector(&term.get("namespaceSelector"));
    let namespaces = term.get("namespaces");
    for namespace in namespaces.items() {
        // Upstream's path names a field that does not exist.
        faults.each_as(&term.named("namespace"), namespace.text(), names::label_faults(namespace.text()));
    }
    validate_keys(term, faults);
    let key = term.get("topologyKey");
    if !key.has_text() {
        faults.required(&key, "can not be empty");
    }
    faults.qualified_name(&key);
}

/// `matchLabelKeys` and `mismatchLabelKeys` beside `labelSelector`.
fn validate_keys(term: &At<'_>, faults: &mut Faults) {
    let selector = term.get("labelSelector");
    let (wanted, unwanted) = (term.get("matchLabelKeys"), term.get("mismatchLabelKeys"));
    for keys in [&wanted, &unwanted] {
        if !keys.is_empty() && !selector.is_set() {
            faults.forbidden(keys, "must not be specified when labelSelector is not set");
            continue;
        }
        for key in keys.items() {
            faults.qualified_name(&key);
        }
    }
    let mut selected: HashSet<&str> = selector.get("matchLabels").entries().map(|(key, _)| key).collect();
    for expression in selector.get("matchExpressions").items() {
        let key = expression.get("key").text();
        if let Some(i) = wanted.list().iter().rposition(|wanted| wanted == key)
            && selected.contains(key)
        {
            faults.invalid_as(&term.at(i), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.insert(key);
    }
    for key in wanted.items().filter(|key| unwanted.list().contains(key.value)) {
        faults.invalid_text(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// How a toleration that compares numbers is taken.
type Compare = fn(&At<'_>, &mut Faults);

pub(crate) fn validate_tolerations(list: &At<'_>, compare: Compare, faults: &mut Faults) {
    for toleration in list.items() {
        let (key, operator, effect) = (toleration.get("key"), toleration.get("operator"), toleration.get("effect"));
        if key.has_text() {
            faults.twice(|faults| faults.qualified_name(&key));
        } else if operator != "Exists" {
            let text = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.invalid_text(&operator, text);
        }
        if toleration.get("tolerationSeconds").is_set() && effect != "NoExecute" {
            faults.invalid_text(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        let value = toleration.get("value").text();
        match operator.text() {
            "Equal" | "" => {
                let found = names::label_value_faults(value);
                if !found.is_empty() {
                    faults.invalid_as(&operator, value, found.join(";"));
                }
            }
            "Exists" if !value.is_empty() => faults.invalid_as(&operator, value, "value must be empty when `operator` is 'Exists'"),
            "Exists" => {}
            "Lt" | "Gt" => compare(&toleration, faults),
            _ => faults.not_supported(&operator, &["Equal", "Exists"]),
        }
        if effect.has_text() {
            faults.one_of(&effect, EFFECTS);
        }
    }
}

pub(crate) fn refuse_comparison(toleration: &At<'_>, faults: &mut Faults) {
    faults.not_supported(&toleration.get("operator"), &["Equal", "Exists", "Lt", "Gt"]);
}

/// Pods keep what was let in while its gate was open.
pub(super) fn keep_comparison(toleration: &At<'_>, faults: &mut Faults) {
    let milder = |faults: &mut Faults| validate_number(&toleration.get("value"), faults);
    faults.tolerable_but("comparing tolerations", |faults| refuse_comparison(toleration, faults), milder);
}

/// An integer as a person would write it, that Go can read.
fn validate_number(at: &At<'_>, faults: &mut Faults) {
    let text = at.text();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !digits.starts_with('0'));
    if text.is_empty() {
        faults.invalid_text(at, "must be non-empty");
    } else if digits.is_empty() || !is_plain {
        faults.invalid_text(at, "must be a valid decimal integer in canonical form");
    }
    if let Err(e) = text.parse::<i64>() {
        let is_range = matches!(e.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
        let what = if is_range { "value out of range" } else { "invalid syntax" };
        faults.invalid_text(at, format!("strconv.ParseInt: parsing {text:?}: {what}"));
    }
}

pub(crate) const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

const NOT_POSITIVE: &str = "must be greater than zero";

pub(super) fn validate_spread(list: &At<'_>, faults: &mut Faults) {
    for (i, constraint) in list.items().enumerate() {
        let (skew, key, action) = (constraint.get("maxSkew"), constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"));
        if skew.int() <= 0 {
            faults.invalid_int(&skew, NOT_POSITIVE);
        }
        if !key.has_text() {
            faults.required(&key, "can not be empty");
        }
        if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
            faults.not_supported(&action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let is_same = |other: &serde_json::Value| &other["topologyKey"] == key.value && &other["whenUnsatisfiable"] == action.value;
        if list.list()[i + 1..].iter().any(is_same) {
            let shown = format!("{{{}, {}}}", key.text(), action.text());
            faults.duplicate_as(&constraint.named("{topologyKey, whenUnsatisfiable}"), shown);
        }
        validate_domains(&constraint.get("minDomains"), action.text(), faults);
        faults.one_of(&constraint.get("nodeAffinityPolicy"), &["Honor", "Ignore"]);
        faults.one_of(&constraint.get("nodeTaintsPolicy"), &["Honor", "Ignore"]);
        validate_keys(&constraint, faults);
        faults.selector(&constraint.get("labelSelector"));
    }
}

fn validate_domains(at: &At<'_>, action: &str, faults: &mut Faults) {
    if !at.is_set() {
        return;
    }
    if at.int() <= 0 {
        faults.invalid_int(at, NOT_POSITIVE);
    }
    if action != "DoNotSchedule" {
        faults.invalid_int(at, format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"));
    }
}
