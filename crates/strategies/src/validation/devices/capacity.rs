//! How much of a device's capacity one request may take, where a device serves several.

use std::collections::HashSet;

use object::quantity::Quantity;

use crate::check::{At, Faults};

fn amount(at: &At<'_>) -> Option<Quantity> {
    Quantity::parse(at.value.as_str()?).ok()
}

pub(super) fn validate_policy(capacity: &At<'_>, is_shared: bool, faults: &mut Faults) {
    const ONE: &str = r#"exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#;
    let policy = capacity.get("requestPolicy");
    if !policy.is_set() {
        return;
    }
    if !is_shared {
        faults.forbidden(&policy, "allowMultipleAllocations must be true");
        return;
    }
    let (values, range, default) = (policy.get("validValues"), policy.get("validRange"), policy.get("default"));
    let whole = amount(&capacity.get("value")).unwrap_or(Quantity::ZERO);
    match (!values.is_empty(), range.is_set(), amount(&default)) {
        (true, true, _) => faults.forbidden(&policy, ONE),
        (true, false, None) => faults.required(&default, "required when validValues is defined"),
        (false, true, None) => faults.required(&default, "required when validRange is defined"),
        (true, false, Some(default)) => validate_values(&values, whole, default, faults),
        (false, true, Some(default)) => validate_range(&range, whole, default, faults),
        (false, false, _) => {}
    }
}

fn validate_values(values: &At<'_>, whole: Quantity, default: Quantity, faults: &mut Faults) {
    const OPTIONS_MAX: usize = 10;
    let options: Vec<(At<'_>, Quantity)> = values.items().filter_map(|at| amount(&at).map(|amount| (at, amount))).collect();
    for pair in options.windows(2).filter(|pair| pair[0].1 > pair[1].1) {
        faults.invalid(&pair[1].0, "values must be sorted in ascending order");
    }
    if values.len() > OPTIONS_MAX {
        faults.too_many(values, OPTIONS_MAX);
    } else {
        for (at, _) in options.iter().filter(|(_, option)| *option > whole) {
            faults.invalid(at, format!("option is larger than capacity value: {whole}"));
        }
        let mut seen = HashSet::new();
        for (at, _) in options.iter().filter(|(_, option)| !seen.insert(option.to_string())) {
            faults.duplicate(at);
        }
    }
    if options.iter().all(|(_, option)| *option != default) {
        faults.invalid_as(values, default.to_string(), "default value is not valid according to the requestPolicy");
    }
}

fn validate_range(range: &At<'_>, whole: Quantity, default: Quantity, faults: &mut Faults) {
    let [least_at, most_at, step_at] = ["min", "max", "step"].map(|field| range.get(field));
    let Some(least) = amount(&least_at) else {
        faults.required(&least_at, "required when validRange is defined");
        return;
    };
    let most = amount(&most_at);
    if least > whole {
        faults.invalid(&least_at, format!("min is larger than capacity value: {whole}"));
    }
    if default < least {
        faults.invalid_as(&range.get("default"), default.to_string(), format!("default is less than min: {least}"));
    }
    if let Some(most) = most {
        if least > most {
            faults.invalid_as(&most_at, least.to_string(), format!("min is larger than max: {most}"));
        }
        if most > whole {
            faults.invalid(&most_at, format!("max is larger than capacity value: {whole}"));
        }
        if default > most {
            faults.invalid_as(&range.get("default"), default.to_string(), format!("default is more than max: {most}"));
        }
    }
    let Some(step) = amount(&step_at) else { return };
    if step.is_zero() || step.is_negative() {
        faults.invalid(&step_at, "must be greater than zero");
        return;
    }
    let first = least.plus(step);
    if first > whole {
        faults.invalid(&step_at, format!("one step {first} is larger than capacity value: {whole}"));
    }
    for value in [Some(default), most].into_iter().flatten().filter(|value| !value.minus(least).is_multiple_of(step)) {
        faults.invalid_as(&step_at, value.to_string(), format!("value is not a multiple of a given step ({step}) from ({least})"));
    }
}
