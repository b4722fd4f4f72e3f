//! admissionregistration.k8s.io: webhook configurations, and the rules of matching that policies share.

use std::collections::HashSet;

use object::names;
use serde_json::Value;

use super::expressions::Scope;
use crate::check::{At, Faults};
use crate::row::NameRule;
use crate::shapes;

pub(super) const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
pub(super) const REINVOCATIONS: &[&str] = &["IfNeeded", "Never"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
/// Those that webhooks once could have.
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

pub(crate) fn validate(configuration: &At<'_>, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for hook in configuration.get("webhooks").items() {
        validate_hook(&hook, faults);
        validate_versions(&hook.get("admissionReviewVersions"), faults);
        let name = hook.get("name");
        if name.has_text() && !seen.insert(name.text()) {
            faults.tolerable("names of webhooks", |faults| faults.duplicate_as(&name, name.text()));
        }
    }
}

pub(crate) fn validate_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_free(new, NameRule::Subdomain);
    validate(new, faults);
}

fn validate_hook(hook: &At<'_>, faults: &mut Faults) {
    shapes::qualified_domain_name(&hook.get("name"), faults);
    for rule in hook.get("rules").items() {
        validate_rule(&rule, faults);
    }
    faults.one_of(&hook.get("failurePolicy"), FAILURE_POLICIES);
    faults.one_of(&hook.get("matchPolicy"), MATCH_POLICIES);
    let (effects, timeout) = (hook.get("sideEffects"), hook.get("timeoutSeconds"));
    let effects_of = |faults: &mut Faults, supported: &[&str]| {
        if effects.is_set() {
            faults.one_of(&effects, supported);
        } else {
            faults.required(&effects, format!("must specify one of {}", supported.join(", ")));
        }
    };
    faults.tolerable_but("side effects", |faults| effects_of(faults, NO_SIDE_EFFECTS), |faults| effects_of(faults, SIDE_EFFECTS));
    if timeout.is_set() && !(1..=30).contains(&timeout.int()) {
        faults.invalid_int(&timeout, "the timeout value must be between 1 and 30 seconds");
    }
    faults.selector_tolerably(&hook.get("namespaceSelector"));
    faults.selector_tolerably(&hook.get("objectSelector"));
    faults.one_of(&hook.get("reinvocationPolicy"), REINVOCATIONS);
    validate_client(&hook.get("clientConfig"), faults);
    let conditions = hook.get("matchConditions");
    faults.unless_kept(&conditions, |faults| validate_conditions(&conditions, &Scope::new(false, false), faults));
}

/// Where a webhook is, here and of a resource definition's conversion.
pub(super) fn validate_client(client: &At<'_>, faults: &mut Faults) {
    let (url, service) = (client.get("url"), client.get("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => validate_url(&url, faults),
        (false, true) => validate_service(&service, faults),
        _ => faults.required(client, "exactly one of url or service is required"),
    }
}

fn validate_url(at: &At<'_>, faults: &mut Faults) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = at.text().split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", at.text()));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or(""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        faults.invalid_as(at, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        faults.invalid_as(at, host, format!("host must be specified{FORM}"));
    }
    for (part, text) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !part.is_empty() {
            faults.invalid_as(at, part, text);
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
}

fn validate_service(service: &At<'_>, faults: &mut Faults) {
    // Upstream passes name and namespace the wrong way round.
    let (name, namespace, port, path) = (service.get("name"), service.get("namespace"), service.get("port"), service.get("path"));
    if !namespace.has_text() {
        faults.required(&name, "");
    }
    if !name.has_text() {
        faults.required(&namespace, "");
    }
    let found = shapes::port_number(port.int());
    if !found.is_empty() {
        faults.invalid_int(&port, format!("port is not valid: {}", found.join(", ")));
    }
    if path == "//" {
        faults.invalid_text(&path, "segment[0] may not be empty");
    } else if path.has_text() && path != "/" {
        if !path.text().starts_with('/') {
            faults.invalid_text(&path, "must start with a '/'");
        }
        let steps = path.text().get(1..).unwrap_or("");
        for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
            if step.is_empty() {
                faults.invalid_text(&path, format!("segment[{i}] may not be empty"));
                continue;
            }
            faults.each(&path, names::subdomain_faults(step).into_iter().map(|fault| format!("segment[{i}]: {fault}")).collect());
        }
    }
}

pub(super) fn validate_versions(list: &At<'_>, faults: &mut Faults) {
    let accepted = REVIEW_VERSIONS.join(", ");
    if list.is_empty() {
        faults.required(list, format!("must specify one of {accepted}"));
        return;
    }
    let mut seen = HashSet::new();
    for version in list.items() {
        if !seen.insert(version.text()) {
            faults.invalid_text(&version, "duplicate version");
            continue;
        }
        faults.each(&version, names::dns1035_faults(version.text()));
    }
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        faults.tolerable("review versions", |faults| faults.invalid(list, format!("must include at least one of {accepted}")));
    }
}

fn has_wildcard(list: &At<'_>) -> bool {
    list.list().iter().any(|item| item == "*")
}

/// Operations, groups, versions, resources and scope.
pub(super) fn validate_rule(rule: &At<'_>, faults: &mut Faults) {
    let operations = rule.get("operations");
    if operations.is_empty() {
        faults.required(&operations, "");
    }
    if operations.len() > 1 && has_wildcard(&operations) {
        faults.invalid(&operations, "if '*' is present, must not specify other operations");
    }
    for operation in operations.items() {
        if !OPERATIONS.contains(&operation.text()) {
            faults.not_supported(&operation, OPERATIONS);
        }
    }
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.get(field);
        if list.is_empty() {
            faults.required(&list, "");
        }
        if list.len() > 1 && has_wildcard(&list) {
            faults.invalid(&list, format!("if '*' is present, must not specify other {what}"));
        }
    }
    for version in rule.get("apiVersions").items() {
        faults.need_text(&version);
    }
    validate_resources(&rule.get("resources"), faults);
    faults.one_of(&rule.get("scope"), &["*", "Cluster", "Namespaced"]);
}

fn validate_resources(list: &At<'_>, faults: &mut Faults) {
    if list.is_empty() {
        faults.required(list, "");
    }
    let (mut whole_resources, mut whole_parts) = (HashSet::new(), HashSet::new());
    let mut is_plain_last = false;
    for item in list.items() {
        let text = item.text();
        if !faults.need_text(&item) {
            continue;
        }
        let Some((resource, part)) = text.split_once('/') else {
            is_plain_last = text != "*";
            continue;
        };
        if whole_resources.contains(resource) {
            faults.invalid_text(&item, format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if whole_parts.contains(part) {
            faults.invalid_text(&item, format!("if '*/{part}' is present, must not specify {text}"));
        }
        if part == "*" {
            whole_resources.insert(resource);
        }
        if resource == "*" {
            whole_parts.insert(part);
        }
    }
    if list.len() > 1 && list.list().iter().any(|item| item == "*/*") {
        faults.invalid(list, "if '*/*' is present, must not specify other resources");
    }
    if has_wildcard(list) && is_plain_last {
        faults.invalid(list, "if '*' is present, must not specify other resources without subresources");
    }
}

/// A text that is more than spaces.
pub(super) fn is_blank(at: &At<'_>) -> bool {
    at.text().trim().is_empty()
}

pub(super) fn validate_conditions(list: &At<'_>, scope: &Scope, faults: &mut Faults) {
    const CONDITIONS_MAX: usize = 64;
    if list.len() > CONDITIONS_MAX {
        faults.too_many(list, CONDITIONS_MAX);
    }
    let mut seen = HashSet::new();
    for condition in list.items() {
        let (expression, name) = (condition.get("expression"), condition.get("name"));
        if is_blank(&expression) {
            faults.required(&expression, "");
        } else {
            scope.validate_condition(&expression, faults);
        }
        if !faults.need_text(&name) {
            continue;
        }
        faults.qualified_name(&name);
        if !seen.insert(name.text()) {
            faults.duplicate_as(&name, name.text());
        }
    }
}

/// The names of a list of `Value` texts that come again.
pub(super) fn validate_names(list: &At<'_>, faults: &mut Faults) {
    let mut seen: HashSet<&Value> = HashSet::new();
    for name in list.items() {
        faults.segment(&name);
        if !seen.insert(name.value) {
            faults.duplicate_as(&name, name.text());
        }
    }
}
