//! admissionregistration.k8s.io: policies and their bindings.

use std::collections::HashSet;

use object::names;

use super::expressions::Scope;
use super::webhooks::{FAILURE_POLICIES, MATCH_POLICIES, REINVOCATIONS, is_blank, validate_conditions, validate_names, validate_rule};
use crate::check::{At, Faults};
use crate::metadata;
use crate::row::NameRule;

const MUTATING_OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
/// Words that no variable may be called by.
const CEL_WORDS: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(crate) fn validate_policy(policy: &At<'_>, faults: &mut Faults) {
    const ANNOTATIONS_MAX: usize = 20;
    let spec = policy.get("spec");
    let scope = validate_shared(&spec, None, Scope::new(spec.get("paramKind").is_set(), !spec.get("variables").is_empty()), faults);
    let (validations, annotations) = (spec.get("validations"), spec.get("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        faults.required(&validations, "validations or auditAnnotations must contain at least one item");
        faults.required(&annotations, "validations or auditAnnotations must contain at least one item");
        return;
    }
    for validation in validations.items() {
        validate_validation(&validation, &scope, faults);
    }
    if annotations.len() > ANNOTATIONS_MAX {
        faults.invalid(&annotations, format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations"));
    }
    let mut seen = HashSet::new();
    for annotation in annotations.items() {
        validate_annotation(&annotation, policy.get("metadata").get("name").text(), &scope, faults);
        let key = annotation.get("key");
        if !seen.insert(key.text()) {
            faults.duplicate_as(&key, key.text());
        }
    }
}

pub(crate) fn validate_policy_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        faults.metadata_free(new, NameRule::Subdomain);
        return validate_policy(new, faults);
    }
    let status = new.get("status");
    for warning in status.get("typeChecking").get("expressionWarnings").items() {
        faults.need_text(&warning.get("warning"));
        if is_blank(&warning.get("fieldRef")) {
            faults.required(&warning.get("fieldRef"), "");
        }
    }
    let conditions = status.get("conditions");
    faults.0.extend(metadata::validate_condition_list(conditions.value, &conditions.path()));
}

pub(crate) fn validate_mutating(policy: &At<'_>, faults: &mut Faults) {
    let spec = policy.get("spec");
    let scope = validate_shared(&spec, Some(MUTATING_OPERATIONS), Scope::new(spec.get("paramKind").is_set(), true), faults);
    let (mutations, again) = (spec.get("mutations"), spec.get("reinvocationPolicy"));
    if mutations.is_empty() {
        faults.required(&mutations, "mutations must contain at least one item");
    }
    for mutation in mutations.items() {
        validate_mutation(&mutation, &scope, faults);
    }
    faults.need_one_of(&again, REINVOCATIONS);
}

pub(crate) fn validate_mutating_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_free(new, NameRule::Subdomain);
    validate_mutating(new, faults);
}

/// What both kinds of policies have; `operations` where not all will do. The scope comes back with the variables in it.
fn validate_shared(spec: &At<'_>, operations: Option<&[&str]>, mut scope: Scope, faults: &mut Faults) -> Scope {
    let (failure, kind, constraints) = (spec.get("failurePolicy"), spec.get("paramKind"), spec.get("matchConstraints"));
    if failure.is_set() {
        faults.one_of(&failure, FAILURE_POLICIES);
    } else {
        faults.required(&failure, "");
    }
    if kind.is_set() {
        validate_kind(&kind, faults);
    }
    if constraints.is_set() {
        validate_match(&constraints, faults);
        if constraints.get("resourceRules").is_empty() {
            faults.required(&constraints.get("resourceRules"), "");
        }
        validate_operations(&constraints, operations, faults);
    } else {
        faults.required(&constraints, "");
    }
    // What a parameter is decides what a condition may name.
    let conditions = spec.get("matchConditions");
    let name = format!("conditions {} {}", kind.value, conditions.value);
    faults.tolerable(name, |faults| validate_conditions(&conditions, &scope, faults));
    for variable in spec.get("variables").items() {
        validate_variable(&variable, &mut scope, faults);
    }
    scope
}

/// Upstream's path does not say which rule.
fn validate_operations(resources: &At<'_>, supported: Option<&[&str]>, faults: &mut Faults) {
    let Some(supported) = supported else { return };
    let rules = resources.get("resourceRules");
    for rule in rules.list() {
        let operations = rules.named("operations").with(&rule["operations"]);
        for operation in operations.list().iter().filter(|operation| !supported.contains(&operation.as_str().unwrap_or(""))) {
            faults.not_supported(&operations.with(operation), supported);
        }
    }
}

fn validate_kind(at: &At<'_>, faults: &mut Faults) {
    let (version, kind) = (at.get("apiVersion"), at.get("kind"));
    let slashes = version.text().matches('/').count();
    let (group, number) = version.text().split_once('/').unwrap_or(("", version.text()));
    if !faults.need_text(&version) {
    } else if slashes > 1 {
        faults.invalid_text(&version, format!("unexpected GroupVersion string: {}", version.text()));
    } else {
        let found = names::subdomain_faults(group);
        if !group.is_empty() && !found.is_empty() {
            faults.invalid_as(&version, group, found.join(","));
        }
        let found = names::dns1035_faults(number);
        if number.is_empty() {
            faults.invalid_text(&version, "version must be specified");
        } else if !found.is_empty() {
            faults.invalid_as(&version, number, found.join(","));
        }
    }
    if faults.need_text(&kind) {
        let found = names::dns1035_faults(&kind.text().to_lowercase());
        if !found.is_empty() {
            faults.invalid_text(&kind, format!("may have mixed case, but should otherwise match: {}", found.join(",")));
        }
    }
}

fn validate_match(at: &At<'_>, faults: &mut Faults) {
    if !at.is_set() {
        return;
    }
    let policy = at.get("matchPolicy");
    if policy.is_set() {
        faults.one_of(&policy, MATCH_POLICIES);
    } else {
        faults.required(&policy, "");
    }
    for selector in ["namespaceSelector", "objectSelector"].map(|field| at.get(field)) {
        if selector.is_set() {
            faults.selector(&selector);
        } else {
            faults.required(&selector, "");
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in at.get(list).items() {
            validate_names(&rule.get("resourceNames"), faults);
            validate_rule(&rule, faults);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let is_shaped =
        name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) && name.bytes().all(|c| c == b'_' || c.is_ascii_alphanumeric());
    is_shaped && !CEL_WORDS.contains(&name)
}

fn validate_variable(variable: &At<'_>, scope: &mut Scope, faults: &mut Faults) {
    let (name, expression) = (variable.get("name"), variable.get("expression"));
    if is_blank(&name) {
        faults.required(&name, "name is not specified");
    } else if !is_identifier(name.text()) {
        faults.invalid_text(&name, "must be a valid CEL identifier");
    }
    if is_blank(&expression) {
        faults.required(&expression, "expression is not specified");
    } else {
        scope.add_variable(name.text(), &expression, faults);
    }
}

fn validate_validation(validation: &At<'_>, scope: &Scope, faults: &mut Faults) {
    let (expression, message, from) = (validation.get("expression"), validation.get("message"), validation.get("messageExpression"));
    if is_blank(&expression) {
        faults.required(&expression, "expression is not specified");
    } else {
        scope.validate_rule(&expression, faults);
    }
    const BLANK: &str = "must be non-empty if specified";
    if !is_blank(&from) {
        scope.validate_message(&from, faults);
    } else if from.has_text() {
        faults.invalid_text(&from, BLANK);
    }
    if message.has_text() && is_blank(&message) {
        faults.invalid_text(&message, BLANK);
    }
    if message.text().trim().contains(['\n', '\r']) {
        faults.invalid_text(&message, "must not contain line breaks");
    }
    faults.one_of(&validation.get("reason"), &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
}

fn validate_annotation(annotation: &At<'_>, policy: &str, scope: &Scope, faults: &mut Faults) {
    const EXPRESSION_LEN_MAX: usize = 5 << 10;
    let (key, expression) = (annotation.get("key"), annotation.get("valueExpression"));
    if policy.is_empty() {
        faults.invalid_text(&key, "requires metadata.name be non-empty");
    } else {
        let whole = format!("{policy}/{}", key.text());
        faults.each_as(&key, &whole, names::qualified_name_faults(&whole));
    }
    if is_blank(&expression) {
        faults.required(&expression, "valueExpression is not specified");
    } else if expression.text().trim().len() > EXPRESSION_LEN_MAX {
        faults.required(&expression, format!("must not exceed {EXPRESSION_LEN_MAX} bytes in length"));
    } else {
        scope.validate_annotation(&expression, faults);
    }
}

fn validate_mutation(mutation: &At<'_>, scope: &Scope, faults: &mut Faults) {
    let (kind, patch, apply) = (mutation.get("patchType"), mutation.get("jsonPatch"), mutation.get("applyConfiguration"));
    let (own, other, shown) = match kind.text() {
        "" => return faults.required(&kind, ""),
        "JSONPatch" => (&patch, &apply, "{applyConfiguration}"),
        "ApplyConfiguration" => (&apply, &patch, "{jsonPatch}"),
        _ => return faults.not_supported(&kind, &["ApplyConfiguration", "JSONPatch"]),
    };
    if !own.is_set() {
        faults.required(own, format!("must be specified when patchType is {}", kind.text()));
    } else if is_blank(&own.get("expression")) {
        faults.required(&own.get("expression"), "");
    } else if kind == "JSONPatch" {
        scope.validate_json_patch(&own.get("expression"), faults);
    } else {
        scope.validate_apply_configuration(&own.get("expression"), faults);
    }
    if other.is_set() {
        faults.invalid_as(other, shown, format!("must not be specified when patchType is {}", kind.text()));
    }
}

pub(crate) fn validate_binding(binding: &At<'_>, faults: &mut Faults) {
    let spec = binding.get("spec");
    if faults.need_text_later(&spec.get("policyName")) {
        faults.subdomain(&spec.get("policyName"));
    }
    validate_reference(&spec.get("paramRef"), faults);
    validate_match(&spec.get("matchResources"), faults);
    let actions = spec.get("validationActions");
    let mut seen = HashSet::new();
    for action in actions.items() {
        faults.one_of(&action, &["Audit", "Deny", "Warn"]);
        if !seen.insert(action.text()) {
            faults.duplicate_as(&action, action.text());
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        faults.invalid(&actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
    if actions.is_empty() {
        faults.covered(|faults| faults.required(&actions, "at least one validation action is required"));
        faults.later(|faults| faults.required(&actions, ""));
    }
}

pub(crate) fn validate_binding_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_free(new, NameRule::Subdomain);
    validate_binding(new, faults);
}

pub(crate) fn validate_mutating_binding(binding: &At<'_>, faults: &mut Faults) {
    let spec = binding.get("spec");
    if faults.need_text(&spec.get("policyName")) {
        faults.subdomain(&spec.get("policyName"));
    }
    validate_reference(&spec.get("paramRef"), faults);
    validate_match(&spec.get("matchResources"), faults);
    validate_operations(&spec.get("matchResources"), Some(MUTATING_OPERATIONS), faults);
}

pub(crate) fn validate_mutating_binding_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_free(new, NameRule::Subdomain);
    validate_mutating_binding(new, faults);
}

fn validate_reference(at: &At<'_>, faults: &mut Faults) {
    const BOTH: &str = "name and selector are mutually exclusive";
    if !at.is_set() {
        return;
    }
    let (name, selector, missing) = (at.get("name"), at.get("selector"), at.get("parameterNotFoundAction"));
    if name.has_text() {
        faults.segment(&name);
        if selector.is_set() {
            faults.forbidden(&name, BOTH);
        }
    }
    faults.selector(&selector);
    if selector.is_set() && name.has_text() {
        faults.forbidden(&selector, BOTH);
    }
    if !selector.is_set() && !name.has_text() {
        faults.required(at, "one of name or selector must be specified");
    }
    if faults.need_text(&missing) && !matches!(missing.text(), "Deny" | "Allow") {
        faults.not_supported(&missing, &["Deny", "Allow"]);
    }
}
