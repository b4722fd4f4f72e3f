//! resource.k8s.io: claims, their templates, device classes, slices and taint rules.

pub(crate) mod admin;
mod capacity;
mod slices;

use std::collections::{HashMap, HashSet};

use object::field::Error;
use object::names;
use serde_json::Value;

use super::core::claims::validate_template_metadata;
use super::expressions::validate_selector;
use super::pods::{is_extended, validate_node_selector};
use crate::check::{At, Faults};
use crate::row::NameRule;
use crate::shapes;
use crate::{go_json, metadata};

pub(crate) use slices::{validate_slice, validate_slice_update};

const LIST_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

pub(crate) fn validate_claim(claim: &At<'_>, faults: &mut Faults) {
    validate_devices(&claim.get("spec").get("devices"), faults);
}

pub(crate) fn validate_claim_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return validate_claim_status(old, new, faults);
    }
    faults.metadata(new, true, NameRule::Subdomain);
    faults.immutable_later(&old.get("spec"), &new.get("spec"));
}

fn validate_claim_status(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, status) = (old.get("status").get("allocation"), new.get("status"));
    let (users, allocation) = (status.get("reservedFor"), status.get("allocation"));
    for user in users.items() {
        for field in ["resource", "name", "uid"] {
            faults.need_text(&user.get(field));
        }
    }
    let shown = |user: &At<'_>| go_json::compact("v1.ResourceClaimConsumerReference", user.value);
    validate_unique(&users, |user| user.get("uid").text(), shown, faults);
    let allocated = allocation.get("devices").get("results");
    let devices = status.get("devices");
    let mut seen = HashSet::new();
    for device in devices.items() {
        validate_device_status(&device, &allocated, faults);
        if !seen.insert(DEVICE_KEYS.map(|key| device.get(key).text())) {
            let shown = go_json::compact("v1.AllocatedDeviceStatus", device.value);
            let key = go_json::compact("SharedDeviceID", device.value);
            faults.covered(|faults| faults.0.push(Error::duplicate(&device.path(), Value::Null).showing(key)));
            faults.later(|faults| faults.0.push(Error::duplicate(&device.path(), Value::Null).showing(shown)));
        }
    }
    if !users.is_empty() && !allocation.is_set() {
        faults.forbidden(&users, "may not be specified when `allocated` is not set");
    }
    if before.is_set() && allocation.is_set() {
        faults.immutable_later(&before, &allocation);
    } else if allocation.get("nodeSelector").is_set() {
        validate_node_selector(&allocation.get("nodeSelector"), faults);
    }
}

/// What tells devices apart.
const DEVICE_KEYS: [&str; 4] = ["driver", "pool", "device", "shareID"];

/// What a driver says of a device that the claim has.
fn validate_device_status(device: &At<'_>, allocated: &At<'_>, faults: &mut Faults) {
    const CONDITIONS_MAX: usize = 8;
    shapes::csi_driver_name(&device.get("driver"), faults);
    validate_pool(&device.get("pool"), faults);
    faults.label(&device.get("device"));
    let is_same = |result: &Value| DEVICE_KEYS.iter().all(|key| result.get(key) == device.value.get(key));
    if !allocated.list().iter().any(is_same) {
        faults.invalid_go(device, "SharedDeviceID", device.value, "must be an allocated device in the claim");
    }
    let conditions = device.get("conditions");
    if conditions.len() > CONDITIONS_MAX {
        faults.too_many(&conditions, CONDITIONS_MAX);
    }
    faults.0.extend(metadata::validate_condition_list(conditions.value, &conditions.path()));
}

pub(crate) fn validate_template(template: &At<'_>, faults: &mut Faults) {
    let spec = template.get("spec");
    validate_template_metadata(&spec.get("metadata"), faults);
    validate_devices(&spec.get("spec").get("devices"), faults);
}

pub(crate) fn validate_template_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_template(new, faults);
    faults.immutable_go(&old.get("spec"), &new.get("spec"), "ResourceClaimTemplateSpec");
}

/// Names of requests, each with those of its alternatives.
type Requests<'a> = HashMap<&'a str, HashSet<&'a str>>;

fn is_too_many(list: &At<'_>, max: usize, faults: &mut Faults) -> bool {
    let is_so = list.len() > max;
    if is_so {
        faults.twice(|faults| faults.too_many(list, max));
    }
    is_so
}

/// A list whose items may not come twice, told apart by `key`. Upstream's generated rule shows what is repeated.
fn validate_unique<'a>(list: &At<'a>, key: impl Fn(&At<'a>) -> &'a str, shown: impl Fn(&At<'a>) -> String, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for item in list.items().filter(|item| !seen.insert(key(item))) {
        faults.covered(|faults| faults.duplicate_as(&item, key(&item)));
        faults.later(|faults| faults.0.push(Error::duplicate(&item.path(), Value::Null).showing(shown(&item))));
    }
}

fn validate_devices(devices: &At<'_>, faults: &mut Faults) {
    let (requests, constraints, config) = (devices.get("requests"), devices.get("constraints"), devices.get("config"));
    let mut known = Requests::new();
    for request in requests.items() {
        let alternatives = request.get("firstAvailable").items().map(|alternative| alternative.get("name").text()).collect();
        known.insert(request.get("name").text(), alternatives);
    }
    if !is_too_many(&requests, LIST_MAX, faults) {
        requests.items().for_each(|request| validate_request(&request, faults));
        validate_unique(
            &requests,
            |request| request.get("name").text(),
            |request| go_json::compact("v1.DeviceRequest", request.value),
            faults,
        );
    }
    if !is_too_many(&constraints, LIST_MAX, faults) {
        constraints.items().for_each(|constraint| validate_constraint(&constraint, &known, faults));
    }
    if !is_too_many(&config, LIST_MAX, faults) {
        for entry in config.items() {
            validate_references(&entry.get("requests"), &known, faults);
            validate_configuration(&entry, faults);
        }
    }
}

fn validate_request(request: &At<'_>, faults: &mut Faults) {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    let (name, exactly, first) = (request.get("name"), request.get("exactly"), request.get("firstAvailable"));
    faults.label(&name);
    match (exactly.is_set(), !first.is_empty()) {
        (false, false) => faults.required(request, ONE),
        (true, true) => {
            faults.invalid_as(request, Value::Null, format!("{ONE}, but multiple fields are set"));
            faults.only_generated(|faults| validate_alternatives(&first, faults));
        }
        (true, false) => {
            if faults.need_text(&exactly.get("deviceClassName")) {
                faults.subdomain(&exactly.get("deviceClassName"));
            }
            validate_exact(&exactly, faults);
        }
        (false, true) => validate_alternatives(&first, faults),
    }
}

fn validate_alternatives(first: &At<'_>, faults: &mut Faults) {
    if is_too_many(first, ALTERNATIVES_MAX, faults) {
        return;
    }
    validate_unique(
        first,
        |alternative| alternative.get("name").text(),
        |alternative| go_json::compact("v1.DeviceSubRequest", alternative.value),
        faults,
    );
    for alternative in first.items() {
        let class = alternative.get("deviceClassName");
        faults.label(&alternative.get("name"));
        if faults.need_text_later(&class) {
            faults.covered(|faults| faults.subdomain(&class));
            faults.later(|faults| faults.each(&class, names::subdomain_faults_in_bytes(class.text())));
        }
        validate_exact(&alternative, faults);
    }
}

fn validate_exact(request: &At<'_>, faults: &mut Faults) {
    let (mode, count) = (request.get("allocationMode"), request.get("count"));
    validate_selectors(&request.get("selectors"), validate_selector, faults);
    match mode.text() {
        "All" if count.int() != 0 => faults.invalid_int(&count, "must not be specified when allocationMode is 'All'"),
        "ExactCount" if count.int() <= 0 => faults.invalid_int(&count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        _ => faults.twice(|faults| faults.not_supported(&mode, &["All", "ExactCount"])),
    }
    for toleration in request.get("tolerations").items() {
        validate_toleration(&toleration, faults);
    }
}

fn validate_selectors(list: &At<'_>, validate: impl Fn(&At<'_>, &mut Faults), faults: &mut Faults) {
    if !is_too_many(list, LIST_MAX, faults) {
        for cel in list.items().map(|selector| selector.get("cel")) {
            if cel.is_set() {
                validate(&cel.get("expression"), faults);
            } else {
                faults.required(&cel, "");
            }
        }
    }
}

fn label_value(at: &At<'_>, faults: &mut Faults) {
    faults.each(at, names::label_value_faults(at.text()));
}

fn validate_effect(effect: &At<'_>, faults: &mut Faults) {
    faults.twice(|faults| faults.one_of(effect, EFFECTS));
}

fn validate_toleration(toleration: &At<'_>, faults: &mut Faults) {
    let (key, operator, value, effect) =
        (toleration.get("key"), toleration.get("operator"), toleration.get("value"), toleration.get("effect"));
    if key.has_text() {
        faults.twice(|faults| faults.qualified_name(&key));
    }
    match operator.text() {
        "Exists" if value.has_text() => faults.invalid_text(&value, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => label_value(&value, faults),
        _ => faults.twice(|faults| faults.need_one_of(&operator, &["Equal", "Exists"])),
    }
    if effect.has_text() {
        validate_effect(&effect, faults);
    }
}

fn validate_constraint(constraint: &At<'_>, known: &Requests<'_>, faults: &mut Faults) {
    validate_references(&constraint.get("requests"), known, faults);
    let (matching, distinct) = (constraint.get("matchAttribute"), constraint.get("distinctAttribute"));
    if matching.is_set() {
        faults.covered(|faults| validate_full_name(&matching, faults));
    } else if distinct.is_set() {
        faults.covered(|faults| validate_full_name(&distinct, faults));
    } else {
        const TEXT: &str = r#"exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#;
        faults.required(constraint, TEXT);
    }
    for attribute in [matching, distinct].iter().filter(|attribute| attribute.is_set()) {
        faults.later(|faults| validate_full_name(attribute, faults));
    }
}

fn validate_references(list: &At<'_>, known: &Requests<'_>, faults: &mut Faults) {
    const TEXT: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    if is_too_many(list, LIST_MAX, faults) {
        return;
    }
    for name in list.items() {
        let segments: Vec<&str> = name.text().split('/').collect();
        if segments.len() <= 2 {
            for segment in &segments {
                faults.each_as(&name, segment, names::label_faults(segment));
            }
        }
        let is_known = match segments[..] {
            [request] => known.contains_key(request),
            [request, alternative] => known.get(request).is_some_and(|alternatives| alternatives.contains(alternative)),
            _ => false,
        };
        if !is_known {
            faults.invalid_text(&name, TEXT);
        }
    }
    validate_unique(list, At::text, |name| name.value.to_string(), faults);
}

/// A domain, a slash and an identifier.
fn validate_full_name(at: &At<'_>, faults: &mut Faults) {
    validate_qualified(at, at.text(), faults);
    if !at.text().contains('/') {
        faults.invalid_text(at, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

fn validate_qualified(at: &At<'_>, text: &str, faults: &mut Faults) {
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [name] => validate_identifier(at, name, faults),
        [domain, name] => {
            if domain.is_empty() {
                faults.invalid_as(at, "", "the domain must not be empty");
            } else {
                let domain = Value::from(domain);
                shapes::csi_driver_name(&at.with(&domain), faults);
            }
            if name.is_empty() {
                faults.invalid_as(at, "", "the name must not be empty");
            } else {
                validate_identifier(at, name, faults);
            }
        }
        _ => {}
    }
}

fn validate_identifier(at: &At<'_>, name: &str, faults: &mut Faults) {
    const LEN_MAX: usize = 32;
    const TEXT: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
    if name.len() > LEN_MAX {
        faults.too_long(at, LEN_MAX);
    }
    let is_shaped =
        name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) && name.bytes().all(|c| c == b'_' || c.is_ascii_alphanumeric());
    if !is_shaped {
        faults.invalid_as(at, name, TEXT);
    }
}

fn validate_configuration(config: &At<'_>, faults: &mut Faults) {
    let opaque = config.get("opaque");
    if !opaque.is_set() {
        faults.required(&opaque, "");
        return;
    }
    let parameters = opaque.get("parameters");
    shapes::csi_driver_name_later(&opaque.get("driver"), faults);
    if !parameters.is_set() {
        faults.required(&parameters, "");
    } else if !parameters.value.is_object() {
        faults.invalid_as(&parameters, "<value omitted>", "must be a valid JSON object");
    }
}

pub(crate) fn validate_class(class: &At<'_>, faults: &mut Faults) {
    let spec = class.get("spec");
    let selectors = spec.get("selectors");
    let kept = |at: &At<'_>, faults: &mut Faults| {
        faults.tolerable(format!("selectors {}", selectors.value), |faults| validate_selector(at, faults));
    };
    validate_selectors(&selectors, kept, faults);
    let config = spec.get("config");
    if !is_too_many(&config, LIST_MAX, faults) {
        config.items().for_each(|entry| validate_configuration(&entry, faults));
    }
    let name = spec.get("extendedResourceName");
    if name.is_set() {
        if !is_extended(name.text()) {
            faults.covered(|faults| faults.invalid_text(&name, "must be a valid extended resource name"));
        }
        faults.later(|faults| {
            if !name.text().contains('/') {
                faults.invalid_text(&name, "a name must be a domain-prefixed path, such as 'example.com/my-prop'");
            }
            if name.has_text() {
                faults.qualified_name(&name);
            } else {
                faults.invalid_text(&name, names::QUALIFIED_NAME_TEXT);
            }
        });
    }
}

pub(crate) fn validate_class_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_class(new, faults);
}

fn validate_pool(at: &At<'_>, faults: &mut Faults) {
    const LEN_MAX: usize = 253;
    if !faults.need_text(at) {
        return;
    }
    if at.text().len() > LEN_MAX {
        faults.too_long(at, LEN_MAX);
    }
    for part in at.text().split('/') {
        faults.each_as(at, part, names::subdomain_faults(part));
    }
}

fn validate_taint(taint: &At<'_>, faults: &mut Faults) {
    let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
    faults.qualified_name(&key);
    if value.has_text() {
        label_value(&value, faults);
    }
    faults.later(|faults| faults.need_one_of(&effect, EFFECTS));
}

pub(crate) fn validate_taint_rule(rule: &At<'_>, faults: &mut Faults) {
    let selector = rule.get("spec").get("deviceSelector");
    let (driver, pool, device) = (selector.get("driver"), selector.get("pool"), selector.get("device"));
    if driver.is_set() {
        shapes::csi_driver_name(&driver, faults);
    }
    if pool.is_set() {
        validate_pool(&pool, faults);
    }
    if device.is_set() {
        faults.label(&device);
    }
    validate_taint(&rule.get("spec").get("taint"), faults);
}

pub(crate) fn validate_taint_rule_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    const CONDITIONS_MAX: usize = 8;
    if subresource != "status" {
        return validate_taint_rule(new, faults);
    }
    let conditions = new.get("status").get("conditions");
    faults.0.extend(metadata::validate_condition_list(conditions.value, &conditions.path()));
    if conditions.len() > CONDITIONS_MAX {
        faults.too_many(&conditions, CONDITIONS_MAX);
    }
}
