//! Which IP families a Service has: upstream's rules for `ipFamilies`, `ipFamilyPolicy`, `clusterIP` and `clusterIPs`, after
//! `strategies` has taken over what an update left out.

use std::net::IpAddr;

use object::Value;
use object::field::{self, Path};

use super::{ServiceSettings, texts};

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().filter(|t| !t.is_empty()).unwrap_or("ClusterIP")
}

fn is_headless(service: &Value) -> bool {
    texts(&service["spec"]["clusterIPs"]).next() == Some("None") || service["spec"]["clusterIP"] == "None"
}

/// Headless and external ones have none.
pub(crate) fn has_addresses(service: &Value) -> bool {
    kind(service) != "ExternalName" && !is_headless(service)
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn remove(service: &mut Value, member: &str) {
    if let Some(spec) = service["spec"].as_object_mut() {
        spec.remove(member);
    }
}

/// Families and policy of the new object, and the addresses a smaller policy gives up.
pub(crate) fn settle(settings: &ServiceSettings, old: Option<&Value>, new: &mut Value) -> Result<(), Vec<field::Error>> {
    if kind(new) == "ExternalName" {
        for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            let is_carried = old.is_some_and(|o| o["spec"][member] == new["spec"][member]);
            if old.is_none() || is_carried || is_unset(&new["spec"][member]) {
                remove(new, member);
            }
        }
        return Ok(());
    }
    let is_selectorless = new["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    let mut families: Vec<String> = texts(&new["spec"]["ipFamilies"]).map(str::to_owned).collect();
    let held: Vec<String> = texts(&new["spec"]["clusterIPs"]).filter(|t| *t != "None").map(str::to_owned).collect();
    let mut policy = new["spec"]["ipFamilyPolicy"].as_str().unwrap_or("").to_owned();
    if policy.is_empty() {
        let is_dual = families.len() == 2 || held.len() == 2 || is_headless(new) && is_selectorless;
        policy = if is_dual { "RequireDualStack" } else { "SingleStack" }.to_owned();
    }
    for (i, text) in held.iter().enumerate() {
        let Ok(ip) = text.parse::<IpAddr>() else { continue };
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        match families.get(i) {
            None => families.push(family.to_owned()),
            Some(set) if set != family && old.is_none() => {
                let path = Path::new("spec").child("clusterIPs").index(i);
                let text = format!("expected an {set} value as indicated by `ipFamilies[{i}]`");
                return Err(vec![field::Error::invalid(&path, text_value(&held[i]), text)]);
            }
            Some(_) => {}
        }
    }
    settle_count(settings, old, new, &policy, &mut families, held)?;
    new["spec"]["ipFamilyPolicy"] = Value::from(policy);
    new["spec"]["ipFamilies"] = Value::from(families);
    if is_headless(new) {
        new["spec"]["clusterIP"] = Value::from("None");
        new["spec"]["clusterIPs"] = Value::from(vec!["None"]);
    }
    Ok(())
}

fn text_value(text: &str) -> Value {
    Value::from(text)
}

fn settle_count(
    settings: &ServiceSettings,
    old: Option<&Value>,
    new: &mut Value,
    policy: &str,
    families: &mut Vec<String>,
    held: Vec<String>,
) -> Result<(), Vec<field::Error>> {
    let have: Vec<&str> = settings.ranges.iter().map(super::IpRange::family).collect();
    let is_free_of_ranges = is_headless(new) && new["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    if let Some(i) = families.iter().position(|f| !have.contains(&f.as_str())).filter(|_| !is_free_of_ranges) {
        let path = Path::new("spec").child("ipFamilies").index(i);
        return Err(vec![field::Error::invalid(&path, families[i].clone(), "not configured on this cluster")]);
    }
    if policy == "SingleStack" {
        let gave_up = old.is_some_and(|o| o["spec"]["ipFamilyPolicy"] != "SingleStack");
        if gave_up {
            families.truncate(1);
            if held.len() == 2 && !is_headless(new) {
                new["spec"]["clusterIPs"] = Value::from(vec![held[0].clone()]);
            }
        }
        if families.len() == 2 || held.len() == 2 && !gave_up {
            let path = Path::new("spec").child("ipFamilyPolicy");
            let text = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified".to_owned();
            return Err(vec![field::Error::invalid(&path, policy, text)]);
        }
    }
    if families.is_empty() {
        families.push(have.first().copied().unwrap_or("IPv4").to_owned());
    }
    if policy == "RequireDualStack" && have.len() < 2 && !is_free_of_ranges {
        let path = Path::new("spec").child("ipFamilyPolicy");
        return Err(vec![field::Error::invalid(&path, policy, "this cluster is not configured for dual-stack services")]);
    }
    let may_be_dual = policy == "RequireDualStack" || policy == "PreferDualStack" && have.len() == 2;
    if may_be_dual && families.len() == 1 && (have.len() == 2 || is_free_of_ranges) {
        let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(other.to_owned());
    }
    Ok(())
}
