//! ResourceSlices: the pool, where its devices are, the devices themselves and the counters they share.

use std::collections::HashSet;

use serde_json::Value;

use super::super::pods::validate_node_selector;
use super::capacity::validate_policy;
use super::{is_too_many, validate_pool, validate_qualified, validate_taint, validate_unique};
use crate::check::{At, Faults};
use crate::{equality, shapes};

const TAINTS_MAX: usize = 16;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const CONSUMED_SETS_MAX: usize = 2;

pub(crate) fn validate_slice(slice: &At<'_>, faults: &mut Faults) {
    validate_start(slice, faults);
    validate_rest(None, slice, faults);
}

pub(crate) fn validate_slice_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after) = (old.get("spec"), new.get("spec"));
    validate_start(new, faults);
    faults.immutable_text(&before.get("pool").get("name"), &after.get("pool").get("name"));
    faults.immutable_text(&before.get("driver"), &after.get("driver"));
    faults.immutable(&before.get("nodeName"), &after.get("nodeName"));
    validate_rest(Some(&before), new, faults);
}

fn validate_start(slice: &At<'_>, faults: &mut Faults) {
    let (spec, pool) = (slice.get("spec"), slice.get("spec").get("pool"));
    shapes::csi_driver_name(&spec.get("driver"), faults);
    validate_pool(&pool.get("name"), faults);
    let (count, generation) = (pool.get("resourceSliceCount"), pool.get("generation"));
    if count.int() <= 0 {
        faults.invalid_int(&count, "must be greater than zero");
    }
    if generation.int() < 0 {
        faults.invalid_int(&generation, "must be greater than or equal to zero");
    }
}

/// What is in effect on one node, on some or on all: the names of the fields that say so.
fn chosen_nodes(place: &At<'_>, empty_name: &str, faults: &mut Faults) -> Vec<&'static str> {
    let (name, selector, all) = (place.get("nodeName"), place.get("nodeSelector"), place.get("allNodes"));
    let mut chosen = Vec::new();
    if name.has_text() {
        chosen.push("`nodeName`");
        faults.subdomain(&name);
    } else if name.is_set() {
        faults.invalid_text(&name, empty_name);
    }
    if selector.is_set() {
        chosen.push("`nodeSelector`");
        validate_node_selector(&selector, faults);
    }
    choose_flag(&all, "`allNodes`", &mut chosen, faults);
    chosen
}

fn choose_flag(flag: &At<'_>, shown: &'static str, chosen: &mut Vec<&'static str>, faults: &mut Faults) {
    if flag.is_true() {
        chosen.push(shown);
    } else if flag.is_set() {
        faults.invalid(flag, "must be either unset or set to true");
    }
}

fn validate_rest(before: Option<&At<'_>>, slice: &At<'_>, faults: &mut Faults) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let spec = slice.get("spec");
    let (devices, counters) = (spec.get("devices"), spec.get("sharedCounters"));
    let mut found = Faults::default();
    let mut chosen = chosen_nodes(&spec, "must be either unset or set to a non-empty string", &mut found);
    let terms = spec.get("nodeSelector").get("nodeSelectorTerms");
    if spec.get("nodeSelector").is_set() && terms.len() != 1 {
        found.invalid_go_list(&terms, "NodeSelectorTerm", "must have exactly one node selector term");
    }
    choose_flag(&spec.get("perDeviceNodeSelection"), "`perDeviceNodeSelection`", &mut chosen, &mut found);
    faults.0.append(&mut found.0);
    match chosen.len() {
        0 => faults.required(&spec, ONE),
        1 => {}
        _ => faults.invalid_as(&spec, format!("{{{}}}", chosen.join(", ")), format!("{ONE}, but multiple fields are set")),
    }
    if counters.is_set() && devices.is_set() {
        faults.invalid_as(&spec, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    validate_devices(before, &spec, faults);
    if !is_too_many(&counters, COUNTER_SETS_MAX, faults) {
        validate_unique(
            &counters,
            |set| set.get("name").text(),
            |set| format!("{{\"name\":{}}}", Value::from(set.get("name").text())),
            faults,
        );
        counters.items().for_each(|set| validate_counters(&set, "name", COUNTERS_MAX, faults));
    }
}

fn validate_devices(before: Option<&At<'_>>, spec: &At<'_>, faults: &mut Faults) {
    /// Fewer where taints or counters make each of them larger.
    const DEVICES_MAX: [usize; 2] = [128, 64];
    let (devices, is_per_device) = (spec.get("devices"), spec.get("perDeviceNodeSelection").is_true());
    let is_large = devices.items().any(|device| !device.get("taints").is_empty() || !device.get("consumesCounters").is_empty());
    let max = DEVICES_MAX[usize::from(is_large)];
    if devices.len() > max {
        faults.too_many(&devices, max);
        return;
    }
    let mut seen = HashSet::new();
    for device in devices.items() {
        let name = device.get("name").text();
        let old = before.and_then(|spec| spec.get("devices").items().find(|old| old.get("name") == *name));
        validate_device(old.as_ref(), &device, is_per_device, faults);
        if !seen.insert(name) {
            faults.duplicate_as(&device, name);
        }
    }
}

fn validate_device(old: Option<&At<'_>>, device: &At<'_>, is_per_device: bool, faults: &mut Faults) {
    const TOGETHER_MAX: usize = 32;
    let (attributes, capacity, taints) = (device.get("attributes"), device.get("capacity"), device.get("taints"));
    let is_kept = |at: &At<'_>, field: &'static str| old.is_some_and(|old| equality::is_semantically_equal(old.get(field).value, at.value));
    faults.label(&device.get("name"));
    let together = attributes.len() + capacity.len();
    if together > TOGETHER_MAX {
        faults.invalid_as(device, together, format!("the total number of attributes and capacities must not exceed {TOGETHER_MAX}"));
    }
    for (key, attribute) in attributes.entries() {
        validate_qualified(&attributes, key, faults);
        validate_attribute(&attribute, faults);
    }
    if !is_kept(&capacity, "capacity") {
        let is_shared = device.get("allowMultipleAllocations").is_true();
        for (key, one) in capacity.entries() {
            validate_qualified(&capacity, key, faults);
            validate_policy(&one, is_shared, faults);
        }
    }
    if !is_kept(&taints, "taints") {
        if taints.len() > TAINTS_MAX {
            faults.too_many(&taints, TAINTS_MAX);
        } else {
            taints.items().for_each(|taint| validate_taint(&taint, faults));
        }
    }
    let consumed = device.get("consumesCounters");
    if !is_too_many(&consumed, CONSUMED_SETS_MAX, faults) {
        let shown = |set: &At<'_>| format!("{{\"counterSet\":{}}}", Value::from(set.get("counterSet").text()));
        validate_unique(&consumed, |set| set.get("counterSet").text(), shown, faults);
        consumed.items().for_each(|set| validate_counters(&set, "counterSet", COUNTERS_MAX, faults));
    }
    validate_device_nodes(device, is_per_device, faults);
    validate_binding(device, faults);
}

fn validate_device_nodes(device: &At<'_>, is_per_device: bool, faults: &mut Faults) {
    const NOT_HERE: &str =
        "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if !is_per_device {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| device.get(field).is_set()) {
            faults.invalid_as(device, Value::Null, NOT_HERE);
        }
        return;
    }
    let chosen = chosen_nodes(device, "must not be empty", faults);
    match chosen.len() {
        0 => faults.required(device, ONE),
        1 => {}
        _ => faults.invalid_as(device, format!("{{{}}}", chosen.join(", ")), ONE),
    }
}

/// One value of one of several types. Lists of values are behind a gate that is closed.
fn validate_attribute(attribute: &At<'_>, faults: &mut Faults) {
    const LEN_MAX: usize = 64;
    const ONE: &str = "exactly one value must be specified";
    const TYPES: [&str; 8] = ["int", "bool", "string", "version", "ints", "bools", "strings", "versions"];
    let (text, version) = (attribute.get("string"), attribute.get("version"));
    if version.is_set() && !shapes::is_semantic_version(version.text()) {
        faults.invalid_text(&version, "must be a string compatible with semver.org spec 2.0.0");
    }
    for long in [&text, &version].into_iter().filter(|at| at.text().len() > LEN_MAX) {
        faults.too_long(long, LEN_MAX);
    }
    let set: Vec<&str> = TYPES.into_iter().filter(|field| attribute.get(field).is_set()).collect();
    let all = TYPES.map(|field| format!("`{field}`")).join(", ");
    match set.len() {
        0 => {
            faults.covered(|faults| faults.invalid_as(attribute, "", ONE));
            faults.later(|faults| faults.invalid_as(attribute, "", format!("must specify one of: {all}")));
        }
        1 => {}
        _ => {
            faults.covered(|faults| faults.invalid_go(attribute, "DeviceAttribute", attribute.value, ONE));
            faults.later(|faults| {
                faults.invalid_as(attribute, format!("{{{}}}", set.join(", ")), format!("must specify exactly one of: {all}"));
            });
        }
    }
}

/// A set of counters under a name, offered or consumed.
fn validate_counters<'a>(set: &At<'a>, name: &'a str, max: usize, faults: &mut Faults) {
    let (name, counters) = (set.get(name), set.get("counters"));
    if faults.need_text_later(&name) {
        faults.twice(|faults| faults.label(&name));
    }
    if counters.is_empty() {
        faults.twice(|faults| faults.required(&counters, ""));
    } else if counters.len() > max {
        faults.too_many(&counters, max);
    } else {
        for (key, _) in counters.entries() {
            faults.twice(|faults| faults.each_as(&counters, key, object::names::label_faults(key)));
        }
    }
}

/// Conditions that a device waits for before its pod is bound, and those that end the wait.
fn validate_binding(device: &At<'_>, faults: &mut Faults) {
    const CONDITIONS_MAX: usize = 4;
    let (wanted, failed) = (device.get("bindingConditions"), device.get("bindingFailureConditions"));
    for list in [&wanted, &failed] {
        if !is_too_many(list, CONDITIONS_MAX, faults) {
            list.items().for_each(|condition| faults.qualified_name(&condition));
        }
    }
    for list in [&wanted, &failed] {
        let mut seen = HashSet::new();
        for condition in list.items() {
            if !seen.insert(condition.text()) {
                faults.duplicate(&condition);
            }
            if std::ptr::eq(list, &failed) && wanted.list().contains(condition.value) {
                faults.invalid_text(&condition, "bindingFailureConditions must not overlap with bindingConditions");
            }
        }
    }
    if wanted.is_empty() && !failed.is_empty() {
        faults.invalid(&wanted, "bindingConditions are required to use bindingFailureConditions");
    }
    if failed.is_empty() && !wanted.is_empty() {
        faults.invalid(&failed, "bindingFailureConditions are required to use bindingConditions");
    }
}
