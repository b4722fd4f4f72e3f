//! Nodes.

use std::collections::HashSet;

use object::field::Error;
use object::names;
use serde_json::Value;

use crate::check::{At, Faults};
use crate::go_json;
use crate::shapes;
use crate::validation::pods::{EFFECTS, validate_amount};

pub(crate) fn validate(node: &At<'_>, faults: &mut Faults) {
    let spec = node.get("spec");
    // Upstream's path of taints leads through metadata.
    validate_taints(&node.get("metadata").get("taints").with(&spec.value["taints"]), faults);
    validate_resources(node, faults);
    validate_features(&node.get("status").get("declaredFeatures"), faults);
    validate_ranges(&spec.get("podCIDRs"), faults);
}

fn validate_ranges(ranges: &At<'_>, faults: &mut Faults) {
    for range in ranges.items() {
        shapes::cidr(&range, faults);
    }
    let families: HashSet<bool> = ranges.items().map(|range| range.text().contains(':')).collect();
    if ranges.len() > 1 && families.len() != ranges.len() {
        faults.invalid(ranges, "may specify no more than one CIDR for each IP family");
    }
}

fn validate_taints(list: &At<'_>, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for taint in list.items() {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        faults.qualified_name(&key);
        let found = names::label_value_faults(value.text());
        if !found.is_empty() {
            faults.invalid_text(&value, found.join(";"));
        }
        faults.need_one_of(&effect, EFFECTS);
        if !seen.insert((key.text(), effect.text())) {
            let mut fault = Error::duplicate(&taint.path(), Value::Null).showing(go_json::compact("Taint", taint.value));
            fault.detail = "taints must be unique by key and effect pair".to_owned();
            faults.0.push(fault);
        }
    }
}

fn validate_resources(node: &At<'_>, faults: &mut Faults) {
    for list in ["capacity", "allocatable"] {
        let amounts = node.get("status").get(list);
        for (name, amount) in amounts.entries() {
            validate_amount(&amounts.get(name).with(amount.value), name, faults);
        }
    }
}

fn validate_features(list: &At<'_>, faults: &mut Faults) {
    const NAME_MAX: usize = 253;
    for (i, feature) in list.items().enumerate() {
        let name = feature.text();
        let is_shaped = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.split('/').all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric()));
        if name.len() > NAME_MAX {
            faults.invalid_text(&feature, format!("invalid feature name {name:?}: must be no more than {NAME_MAX} characters"));
        } else if !is_shaped {
            faults.invalid_text(&feature, format!("invalid feature name {name:?}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"));
        }
        let next = list.at(i + 1);
        if next.is_set() && name == next.text() {
            faults.duplicate(&next);
        } else if next.is_set() && name > next.text() {
            faults.invalid_text(&next, "list must be sorted alphabetically");
        }
    }
}

pub(crate) fn validate_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_resources(new, faults);
    validate_features(&new.get("status").get("declaredFeatures"), faults);
    let mut seen = HashSet::new();
    for address in new.get("status").get("addresses").items() {
        let (kind, text) = (address.get("type").text(), address.get("address").text());
        if !seen.insert((kind, text)) {
            faults.0.push(Error::duplicate(&address.path(), Value::Null).showing(go_json::compact("NodeAddress", address.value)));
        }
    }
    let (before, after) = (old.get("spec"), new.get("spec"));
    let (was, is) = (before.get("podCIDRs"), after.get("podCIDRs"));
    if subresource.is_empty() {
        validate_ranges(&is, faults);
    }
    if !was.is_empty() && was.list() != is.list() {
        faults.forbidden(&is, "node updates may not change podCIDR except from \"\" to valid");
    }
    let (was, is) = (before.get("providerID"), after.get("providerID"));
    if was.has_text() && was.text() != is.text() {
        let text = if is.has_text() { "field cannot be modified once set" } else { "field cannot be cleared once set" };
        faults.invalid_as(&is, Value::Null, text);
    }
    validate_taints(&new.get("metadata").get("taints").with(&after.value["taints"]), faults);
    if before.get("externalID").text() != after.get("externalID").text() {
        faults.forbidden(&after.get("externalID"), "may not be updated");
    }
}
