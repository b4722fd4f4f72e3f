//! Which IP families a Service has: upstream's rules for `ipFamilies`, `ipFamilyPolicy`, `clusterIP` and `clusterIPs`, after
//! `complete` has taken over what an update left out.

use std::net::IpAddr;

use object::field::{Error, Path};
use serde_json::{Value, json};

use super::{ServiceSettings, is_headless, kind, texts};
use crate::validation::core::services::address_faults;

const SINGLE: &str = "SingleStack";
const PREFERRED: &str = "PreferDualStack";
const REQUIRED: &str = "RequireDualStack";

fn at(field: &str) -> Path {
    Path::new("spec").child(field)
}

fn policy(service: &Value) -> &str {
    service["spec"]["ipFamilyPolicy"].as_str().unwrap_or("")
}

fn n_texts(service: &Value, field: &str) -> usize {
    texts(&service["spec"][field]).count()
}

fn is_same(old: &Value, new: &Value, field: &str) -> bool {
    texts(&old["spec"][field]).eq(texts(&new["spec"][field]))
}

/// Upstream: what prefers two families keeps what it has when the cluster's ranges change, until something of this is changed.
pub(super) fn is_kept_dual(old: &Value, new: &Value) -> bool {
    kind(old) == kind(new)
        && kind(new) != "ExternalName"
        && policy(new) == PREFERRED
        && matches!(policy(old), PREFERRED | "")
        && is_same(old, new, "clusterIPs")
        && is_same(old, new, "ipFamilies")
}

/// Families and policy of the new object, and the addresses a smaller policy gives up.
pub(super) fn settle(settings: &ServiceSettings, old: Option<&Value>, new: &mut Value) -> Result<(), Vec<Error>> {
    if kind(new) == "ExternalName" {
        return Ok(());
    }
    let is_free = is_headless(new) && new["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    if new["spec"]["ipFamilyPolicy"].is_null() {
        let before = old.map(policy).filter(|policy| !policy.is_empty());
        new["spec"]["ipFamilyPolicy"] = json!(before.unwrap_or(if is_free { REQUIRED } else { SINGLE }));
    }
    refuse(address_faults(old, new))?;
    let policy = policy(new).to_owned();
    let mut faults = match old {
        Some(old) => release(old, new, &policy),
        None => Vec::new(),
    };
    if policy == SINGLE {
        for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if n_texts(new, field) == 2 {
                let text = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                faults.push(Error::invalid(&at("ipFamilyPolicy"), &*policy, text));
            }
        }
    }
    let mut families: Vec<String> = texts(&new["spec"]["ipFamilies"]).map(str::to_owned).collect();
    let have: Vec<&str> = settings.ranges.iter().map(super::IpRange::family).collect();
    infer(&have, new, &mut families, &mut faults);
    refuse(faults)?;
    if !is_free {
        refuse(unserved(&have, &policy, &families))?;
    }
    if families.is_empty() {
        families.push(have.first().copied().unwrap_or("IPv4").to_owned());
    }
    if policy != SINGLE && families.len() == 1 && (is_free || have.len() == 2) {
        let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(other.to_owned());
    }
    new["spec"]["ipFamilies"] = Value::from(families);
    Ok(())
}

fn refuse(faults: Vec<Error>) -> Result<(), Vec<Error>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// An update to one family lets go of what only two need; otherwise nothing may be left out silently.
fn release(old: &Value, new: &mut Value, policy: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (n_before, n_after) = (n_texts(old, field), n_texts(new, field));
        if policy != SINGLE {
            if (1..n_before).contains(&n_after) {
                let text = format!("must be 'SingleStack' to release the secondary {what}");
                faults.push(Error::invalid(&at("ipFamilyPolicy"), policy, text));
            }
        } else if n_after > 1 && is_same(old, new, field) {
            new["spec"][field].as_array_mut().expect("has texts").truncate(1);
        }
    }
    faults
}

/// Families that addresses tell.
fn infer(have: &[&str], new: &Value, families: &mut Vec<String>, faults: &mut Vec<Error>) {
    let all = &new["spec"]["clusterIPs"];
    for (i, ip) in texts(all).take_while(|text| *text != "None").enumerate().skip(families.len()) {
        let family = if ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) { "IPv4" } else { "IPv6" };
        if have.contains(&family) {
            families.push(family.to_owned());
        } else {
            faults.push(Error::invalid(&at("clusterIPs").index(i), all.clone(), format!("{family} is not configured on this cluster")));
        }
    }
}

fn unserved(have: &[&str], policy: &str, families: &[String]) -> Vec<Error> {
    let mut faults = Vec::new();
    if policy == REQUIRED && have.len() < 2 {
        faults.push(Error::invalid(&at("ipFamilyPolicy"), policy, "this cluster is not configured for dual-stack services"));
    }
    for (i, family) in families.iter().enumerate().filter(|(_, family)| !have.contains(&family.as_str())) {
        faults.push(Error::invalid(&at("ipFamilies").index(i), family.clone(), "not configured on this cluster"));
    }
    faults
}
