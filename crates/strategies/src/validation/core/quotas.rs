//! ResourceQuotas and LimitRanges.

use std::collections::{BTreeMap, HashSet};

use object::quantity::{Format, Quantity};
use object::{field::Error, names};

use crate::check::{At, Faults, IMMUTABLE};
use crate::validation::pods::{is_huge_pages, is_quota_name, quantity, validate_amount, validate_container_name, validate_name};

const POD_NAMES: &[&str] = &["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const CLAIM_NAMES: &[&str] = &["persistentvolumeclaims", "requests.storage"];

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

fn validate_amounts(list: &At<'_>, faults: &mut Faults) {
    for (name, amount) in list.entries() {
        validate_name(&amount, name, faults);
        if !name.contains('/') && !is_quota_name(name) {
            faults.invalid_as(&amount, name, "must be a standard resource for quota");
        }
        validate_amount(&amount, name, faults);
    }
}

pub(crate) fn validate_quota(quota: &At<'_>, faults: &mut Faults) {
    validate_quota_spec(&quota.get("spec"), faults);
    validate_quota_status(quota, faults);
}

fn validate_quota_status(quota: &At<'_>, faults: &mut Faults) {
    validate_amounts(&quota.get("status").get("hard"), faults);
    validate_amounts(&quota.get("status").get("used"), faults);
}

fn validate_quota_spec(spec: &At<'_>, faults: &mut Faults) {
    let hard = spec.get("hard");
    validate_amounts(&hard, faults);
    let names: Vec<&str> = hard.entries().map(|(name, _)| name).filter(|name| is_quota_name(name)).collect();
    let scopes = spec.get("scopes");
    for scope in scopes.items() {
        if !SCOPES.contains(&scope.text()) {
            faults.invalid(&scopes, "unsupported scope");
        }
        if names.iter().any(|name| !is_for(scope.text(), name)) {
            faults.invalid(&scopes, "unsupported scope applied to resource");
        }
    }
    let taken: HashSet<&str> = scopes.items().map(|scope| scope.text()).collect();
    validate_pairs(&taken, &scopes, &scopes, faults);
    let selector = spec.get("scopeSelector");
    if selector.is_set() {
        validate_scope_selector(&selector, &scopes, &names, faults);
    }
}

fn is_for(scope: &str, name: &str) -> bool {
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => POD_NAMES.contains(&name),
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => CLAIM_NAMES.contains(&name),
        _ => true,
    }
}

fn validate_pairs(taken: &HashSet<&str>, at: &At<'_>, shown: &At<'_>, faults: &mut Faults) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| taken.contains(scope)) {
            faults.invalid_as(at, shown.value.clone(), "conflicting scopes");
        }
    }
}

/// Upstream's paths name the list of expressions, not the one expression.
fn validate_scope_selector(selector: &At<'_>, scopes: &At<'_>, names: &[&str], faults: &mut Faults) {
    const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    let list = selector.get("matchExpressions");
    for expression in list.items() {
        let of = |name: &'static str| list.get(name).with(&expression.value[name]);
        let (scope, operator, values) = (of("scopeName"), of("operator"), of("values"));
        if !SCOPES.contains(&scope.text()) {
            faults.invalid_text(&scope, "unsupported scope");
        }
        if names.iter().any(|name| !is_for(scope.text(), name)) {
            faults.invalid_go(&list, "ScopeSelector", selector.value, "unsupported scope applied to resource");
        }
        if !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope.text()) && operator != "Exists" {
            faults.invalid_text(&operator, ONLY_EXISTS);
        }
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                faults.required(&values, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                faults.invalid(&values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => faults.invalid_text(&operator, "not a valid selector operator"),
        }
    }
    let taken: HashSet<&str> = list.items().map(|expression| expression.get("scopeName").text()).collect();
    validate_pairs(&taken, &list, scopes, faults);
}

pub(crate) fn validate_quota_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        validate_quota_status(new, faults);
        return;
    }
    validate_quota_spec(&new.get("spec"), faults);
    let (was, is) = (old.get("spec").get("scopes"), new.get("spec").get("scopes"));
    let set = |at: &At<'_>| at.list().iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect::<HashSet<_>>();
    if set(&was) != set(&is) {
        faults.invalid(&is, IMMUTABLE);
    }
}

pub(crate) fn validate_range(range: &At<'_>, faults: &mut Faults) {
    let mut kinds = HashSet::new();
    for limit in range.get("spec").get("limits").items() {
        let kind = limit.get("type");
        let found = names::qualified_name_faults(kind.text());
        if found.is_empty() && !kind.text().contains('/') && !matches!(kind.text(), "Pod" | "Container" | "PersistentVolumeClaim") {
            faults.invalid_text(&kind, "must be a standard limit type or fully qualified");
        }
        faults.each(&kind, found);
        if !kinds.insert(kind.text()) {
            faults.0.push(Error::duplicate(&kind.path(), kind.text()));
        }
        validate_limit(&limit, kind.text(), faults);
    }
}

fn validate_range_names(amounts: &At<'_>, kind: &str, faults: &mut Faults) {
    for (name, amount) in amounts.entries() {
        if matches!(kind, "Pod" | "Container") {
            validate_container_name(&amount, name, faults);
        } else {
            validate_name(&amount, name, faults);
        }
    }
}

/// The five lists of one limit.
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

fn validate_limit(limit: &At<'_>, kind: &str, faults: &mut Faults) {
    let mut names: BTreeMap<&str, ()> = BTreeMap::new();
    for list in LISTS {
        let amounts = limit.get(list);
        if list == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            let has = |list: &'static str| limit.value[list].get("storage").is_some();
            if !has("min") && !has("max") {
                let text = "either minimum or maximum storage value is required, but neither was provided";
                faults.required(&limit.get("limits"), text);
            }
        }
        if kind == "Pod" && list.starts_with("default") {
            if !amounts.is_empty() {
                faults.forbidden(&amounts, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        validate_range_names(&amounts, kind, faults);
        names.extend(amounts.entries().map(|(name, _)| (name, ())));
    }
    for name in names.keys() {
        validate_bounds(limit, kind, name, faults);
    }
}

fn validate_bounds(limit: &At<'_>, kind: &str, name: &str, faults: &mut Faults) {
    let of = |list: &'static str| {
        let is_counted = !(kind == "Pod" && list.starts_with("default"));
        limit.get(list).entries().find(|(key, _)| *key == name && is_counted).map(|(_, at)| at)
    };
    let [max, min, default, request, ratio] = LISTS.map(of);
    // Low, its name, high, its name, which of the two is complained of, whether the low or the high one is shown.
    let order = [
        (&min, "min value", &max, "max value", &min, &min),
        (&min, "min value", &request, "default request value", &request, &request),
        (&request, "default request value", &max, "max value", &request, &request),
        (&request, "default request value", &default, "default limit value", &request, &request),
        (&min, "min value", &default, "default value", &default, &min),
        (&default, "default value", &max, "max value", &default, &max),
    ];
    for (low, low_name, high, high_name, at, shown) in order {
        if let (Some(low), Some(high), Some(at), Some(shown)) = (low, high, at, shown)
            && quantity(low) > quantity(high)
        {
            let text = format!("{low_name} {} is greater than {high_name} {}", low.text(), high.text());
            faults.invalid_as(at, shown.text(), text);
        }
    }
    if let Some(ratio) = &ratio {
        validate_ratio(ratio, min.as_ref(), max.as_ref(), faults);
    }
    let may_differ = !is_huge_pages(name) && (!name.contains('/') || name.contains("kubernetes.io/"));
    if let (Some(default), Some(request)) = (&default, &request)
        && !may_differ
        && quantity(default) != quantity(request)
    {
        let text = format!("default value {} must equal to defaultRequest value {} in {name}", default.text(), request.text());
        faults.invalid_text(request, text);
    }
}

fn validate_ratio(ratio: &At<'_>, min: Option<&At<'_>>, max: Option<&At<'_>>, faults: &mut Faults) {
    if quantity(ratio) < Quantity::from_units(1, Format::DecimalSi) {
        faults.invalid_text(ratio, format!("ratio {} is less than 1", ratio.text()));
    }
    let (Some(min), Some(max)) = (min, max) else { return };
    let in_millis = |at: &At<'_>| quantity(at).milli_value() as f64;
    let most = in_millis(max) / in_millis(min);
    if in_millis(ratio) / 1000.0 > most {
        faults.invalid_text(ratio, format!("ratio {} is greater than max/min = {most:.6}", ratio.text()));
    }
}

pub(crate) fn validate_range_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, crate::row::NameRule::Subdomain);
    validate_range(new, faults);
}
