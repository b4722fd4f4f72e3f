//! flowcontrol.apiserver.k8s.io.

use std::collections::HashSet;

use crate::check::{At, Faults};
use crate::row::NameRule;
use crate::shapes;

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
/// Upstream: the bits of a hash that are dealt into hands.
const HASH_BITS_MAX: u32 = 60;
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub(crate) fn validate_schema(schema: &At<'_>, faults: &mut Faults) {
    let (name, spec) = (schema.get("metadata").get("name"), schema.get("spec"));
    let (precedence, method, level) =
        (spec.get("matchingPrecedence"), spec.get("distinguisherMethod"), spec.get("priorityLevelConfiguration").get("name"));
    if precedence.int() <= 0 {
        faults.invalid_int(&precedence, "must be a positive value");
    }
    if precedence.int() > PRECEDENCE_MAX {
        faults.invalid_int(&precedence, format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence.int() == 1 && name != "exempt" {
        faults.invalid_int(&precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if method.is_set() && !matches!(method.get("type").text(), "ByNamespace" | "ByUser") {
        // Upstream shows the whole method.
        let shown = serde_json::json!({"Type": method.get("type").text()}).to_string();
        let path = method.get("type").path();
        faults.0.push(object::field::Error::not_supported(&path, serde_json::Value::Null, &["ByNamespace", "ByUser"]).showing(shown));
    }
    if level.has_text() {
        faults.subdomain(&level);
    } else {
        faults.required(&level, "must reference a priority level");
    }
    for rule in spec.get("rules").items() {
        validate_rule(&rule, faults);
    }
    validate_conditions(&schema.get("status").get("conditions"), faults);
}

pub(crate) fn validate_schema_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return validate_conditions(&new.get("status").get("conditions"), faults);
    }
    faults.metadata(new, false, NameRule::Subdomain);
    validate_schema(new, faults);
}

fn validate_conditions(list: &At<'_>, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for kind in list.items().map(|condition| condition.get("type")) {
        if !seen.insert(kind.text()) {
            faults.duplicate_as(&kind, kind.text());
        }
        faults.need_text(&kind);
    }
}

fn validate_rule(rule: &At<'_>, faults: &mut Faults) {
    let (subjects, resources, others) = (rule.get("subjects"), rule.get("resourceRules"), rule.get("nonResourceRules"));
    if subjects.is_empty() {
        faults.required(&subjects, "subjects must contain at least one value");
    }
    for subject in subjects.items() {
        validate_subject(&subject, faults);
    }
    if resources.is_empty() && others.is_empty() {
        faults.required(rule, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for resource in resources.items() {
        validate_resource_rule(&resource, faults);
    }
    for other in others.items() {
        validate_verbs(&other.get("verbs"), faults);
        validate_urls(&other.get("nonResourceURLs"), faults);
    }
}

/// The kinds of subjects and the fields that say more of them, in upstream's order.
const SUBJECTS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

fn validate_subject(subject: &At<'_>, faults: &mut Faults) {
    let kind = subject.get("kind");
    let Some((word, own)) = SUBJECTS.iter().find(|(word, _)| kind == *word) else {
        faults.not_supported(&kind, &["Group", "ServiceAccount", "User"]);
        return;
    };
    let at = subject.get(own);
    let (name, namespace) = (at.get("name"), at.get("namespace"));
    if !at.is_set() {
        faults.required(&at, format!("{own} is required when subject kind is '{word}'"));
    } else if faults.need_text(&name) && *word == "ServiceAccount" && name != "*" {
        faults.subdomain(&name);
    }
    if at.is_set() && *word == "ServiceAccount" {
        if namespace.has_text() {
            faults.label(&namespace);
        } else {
            faults.required(&namespace, "must specify namespace for service account");
        }
    }
    for (word, field) in SUBJECTS.iter().filter(|(_, field)| field != own && subject.get(field).is_set()) {
        faults.forbidden(&subject.get(field), format!("{field} is forbidden when subject kind is not '{word}'"));
    }
}

fn has_wildcard(list: &At<'_>) -> bool {
    list.list().iter().any(|item| item == "*")
}

/// One star alone, or none. Whether the rest is to be looked at.
fn validate_wildcard(list: &At<'_>, missing: &str, what: &str, faults: &mut Faults) -> bool {
    if list.is_empty() {
        faults.required(list, missing);
    } else if has_wildcard(list) && list.len() > 1 {
        faults.invalid(list, format!("if '*' is present, must not specify other {what}"));
    }
    !list.is_empty() && !has_wildcard(list)
}

fn validate_verbs(list: &At<'_>, faults: &mut Faults) {
    let is_plain = validate_wildcard(list, "verbs must contain at least one value", "verbs", faults);
    if is_plain && list.list().iter().any(|verb| !VERBS.contains(&verb.as_str().unwrap_or(""))) {
        let shown = list.value.to_string();
        faults.0.push(object::field::Error::not_supported(&list.path(), serde_json::Value::Null, VERBS).showing(shown));
    }
}

fn validate_urls(list: &At<'_>, faults: &mut Faults) {
    if !validate_wildcard(list, "nonResourceURLs must contain at least one value", "non-resource URLs", faults) {
        return;
    }
    for url in list.items() {
        let text = url.text();
        let stars = text.matches('*').count();
        let fault = match text {
            "" => "must not be empty",
            "/" => continue,
            _ if !text.starts_with('/') => "must start with slash",
            _ if text.contains(' ') => "must not contain white-space",
            _ if text.contains("//") => "must not contain double slash",
            _ if stars > 1 || (stars == 1 && !text.ends_with("/*")) => "wildcard can only do suffix matching",
            _ => continue,
        };
        faults.invalid_text(&url, fault);
    }
}

fn validate_resource_rule(rule: &At<'_>, faults: &mut Faults) {
    validate_verbs(&rule.get("verbs"), faults);
    validate_wildcard(&rule.get("apiGroups"), "resource rules must supply at least one api group", "api groups", faults);
    validate_wildcard(&rule.get("resources"), "resource rules must supply at least one resource", "resources", faults);
    let namespaces = rule.get("namespaces");
    if namespaces.is_empty() && rule.get("clusterScope").is_true() {
        return;
    }
    const MISSING: &str = "resource rules that are not cluster scoped must supply at least one namespace";
    if validate_wildcard(&namespaces, MISSING, "namespaces", faults) {
        for namespace in namespaces.items() {
            let found = object::names::label_faults(namespace.text());
            let found = found.into_iter().map(|fault| format!("each member of this list must be '*' or a DNS-1123 label; {fault}"));
            faults.each(&namespace, found.collect());
        }
    }
}

pub(crate) fn validate_level(level: &At<'_>, faults: &mut Faults) {
    const PRESERVE_ZERO: &str = "flowcontrol.k8s.io/preserve-zero-concurrency-shares";
    let (name, annotations, spec) = (level.get("metadata").get("name"), level.get("metadata").get("annotations"), level.get("spec"));
    if annotations.value.get(PRESERVE_ZERO).is_some() {
        faults.forbidden(&annotations, format!("annotation '{PRESERVE_ZERO}' is forbidden"));
    }
    let (kind, limited, exempt) = (spec.get("type"), spec.get("limited"), spec.get("exempt"));
    if exempt.is_set() {
        validate_member(&kind, "Exempt", &exempt, faults);
    }
    validate_member(&kind, "Limited", &limited, faults);
    if limited.is_set() && kind != "Limited" {
        faults.only_generated(|faults| validate_limited(&limited, faults));
    }
    if (name == "exempt") != (kind == "Exempt") {
        faults.invalid_text(&kind, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.text() {
        "Exempt" => {
            if limited.is_set() {
                faults.covered(|faults| faults.forbidden(&limited, "must be nil if the type is not Limited"));
            }
            validate_share(&exempt, faults);
        }
        "Limited" => {
            if exempt.is_set() {
                faults.covered(|faults| faults.forbidden(&exempt, "must be nil if the type is Limited"));
            }
            if limited.is_set() {
                validate_limited(&limited, faults);
            } else {
                faults.covered(|faults| faults.required(&limited, "must not be empty when type is Limited"));
            }
        }
        "" => _ = faults.need_text_later(&kind),
        _ => faults.not_supported(&kind, &["Exempt", "Limited"]),
    }
    validate_conditions(&level.get("status").get("conditions"), faults);
}

pub(crate) fn validate_level_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return validate_conditions(&new.get("status").get("conditions"), faults);
    }
    faults.metadata(new, false, NameRule::Subdomain);
    validate_level(new, faults);
}

fn validate_share(at: &At<'_>, faults: &mut Faults) {
    let (shares, lendable) = (at.get("nominalConcurrencyShares"), at.get("lendablePercent"));
    if shares.int() < 0 {
        faults.invalid_int(&shares, "must be a non-negative integer");
    }
    if !(0..=100).contains(&lendable.int()) {
        faults.invalid_int(&lendable, shapes::between(0, 100));
    }
}

fn validate_limited(at: &At<'_>, faults: &mut Faults) {
    let (shares, lendable, borrowing) = (at.get("nominalConcurrencyShares"), at.get("lendablePercent"), at.get("borrowingLimitPercent"));
    if shares.int() < 0 {
        faults.invalid_int(&shares, "must be a non-negative integer");
    }
    validate_response(&at.get("limitResponse"), faults);
    if !(0..=100).contains(&lendable.int()) {
        faults.invalid_int(&lendable, shapes::between(0, 100));
    }
    if borrowing.int() < 0 {
        faults.invalid_int(&borrowing, "if specified, must be a non-negative integer");
    }
}

fn validate_response(at: &At<'_>, faults: &mut Faults) {
    let (kind, queuing) = (at.get("type"), at.get("queuing"));
    validate_member(&kind, "Queue", &queuing, faults);
    match kind.text() {
        "Reject" if queuing.is_set() => {
            faults.covered(|faults| faults.forbidden(&queuing, "must be nil if limited.limitResponse.type is not Limited"));
        }
        "Reject" => {}
        "Queue" if queuing.is_set() => validate_queuing(&queuing, faults),
        "Queue" => faults.covered(|faults| faults.required(&queuing, "must not be empty if limited.limitResponse.type is Limited")),
        "" => _ = faults.need_text_later(&kind),
        _ => faults.not_supported(&kind, &["Queue", "Reject"]),
    }
}

/// A generated rule: the member of a union that `word` calls for is there, and no other.
fn validate_member(kind: &At<'_>, word: &str, member: &At<'_>, faults: &mut Faults) {
    faults.later(|faults| match (*kind == *word, member.is_set()) {
        (true, false) => faults.required(member, ""),
        (false, true) => faults.forbidden(member, ""),
        _ => {}
    });
}

fn validate_queuing(at: &At<'_>, faults: &mut Faults) {
    let (limit, queues, hand) = (at.get("queueLengthLimit"), at.get("queues"), at.get("handSize"));
    if limit.int() <= 0 {
        faults.invalid_int(&limit, "must be positive");
    }
    if queues.int() <= 0 {
        faults.invalid_int(&queues, "must be positive");
    } else if queues.int() > QUEUES_MAX {
        faults.invalid_int(&queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand.int() <= 0 {
        faults.invalid_int(&hand, "must be positive");
    } else if hand.int() > queues.int() {
        faults.invalid_int(&hand, format!("should not be greater than queues ({})", queues.int()));
    } else if entropy_bits(queues.int(), hand.int()) > HASH_BITS_MAX {
        faults.invalid_int(
            &hand,
            format!(
                "required entropy bits of deckSize {} and handSize {} should not be greater than {HASH_BITS_MAX}",
                queues.int(),
                hand.int()
            ),
        );
    }
}

/// Bits that tell apart all hands dealt from the deck.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    let product: f64 = (0..hand).map(|i| ((deck - i) as f64).log2()).sum();
    product.ceil() as u32
}
