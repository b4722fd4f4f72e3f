//! The quality-of-service class of a pod, from requests and limits of cpu and memory.

use std::collections::BTreeMap;

use object::quantity::Quantity;
use serde_json::Value;

const COUNTED: [&str; 2] = ["cpu", "memory"];

type Sums<'a> = BTreeMap<&'a str, Quantity>;

pub(crate) fn class_of(pod: &Value) -> &'static str {
    let spec = &pod["spec"];
    let (mut requests, mut limits) = (Sums::new(), Sums::new());
    let mut is_guaranteed = true;
    let whole = &spec["resources"];
    let is_set = |list: &Value| list.as_object().is_some_and(|l| !l.is_empty());
    if is_set(&whole["requests"]) || is_set(&whole["limits"]) {
        add(&mut requests, &whole["requests"]);
        is_guaranteed = add(&mut limits, &whole["limits"]) == COUNTED.len();
    } else {
        for container in ["containers", "initContainers"].iter().flat_map(|list| spec[*list].as_array().into_iter().flatten()) {
            add(&mut requests, &container["resources"]["requests"]);
            is_guaranteed &= add(&mut limits, &container["resources"]["limits"]) == COUNTED.len();
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let is_equal = requests.len() == limits.len() && requests.iter().all(|(name, amount)| limits.get(name) == Some(amount));
    if is_guaranteed && is_equal { "Guaranteed" } else { "Burstable" }
}

/// Adds what counts and says how many amounts those were.
fn add<'a>(sums: &mut Sums<'a>, list: &'a Value) -> usize {
    let mut n_found = 0;
    for name in COUNTED {
        let Some(amount) = list[name].as_str().and_then(|text| Quantity::parse(text).ok()) else { continue };
        if amount.is_zero() || amount.is_negative() {
            continue;
        }
        n_found += 1;
        let sum = sums.entry(name).or_insert(Quantity::ZERO);
        *sum = sum.plus(amount);
    }
    n_found
}
