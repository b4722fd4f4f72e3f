//! What a Service is given before it is validated: families, cluster addresses and node ports, as upstream chooses and refuses them.
//!
//! Choices are made here and taken elsewhere (`registry`): whoever calls knows what is taken and draws the random numbers.
//! A dry run is given what nobody can have, as upstream gives it: the addresses that ranges begin with, the ports behind them.

mod families;
mod ports;
mod range;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use object::field::{self, Path};
use serde_json::{Value, json};

pub use range::IpRange;

/// What the cluster has to give.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// One range a family, the primary one first.
    pub ranges: Vec<IpRange>,
    pub node_ports: RangeInclusive<u16>,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        let ranges = ["10.96.0.0/16", "fd00:10:96::/108"].iter().filter_map(|r| r.parse().ok()).collect();
        ServiceSettings { ranges, node_ports: 30_000..=32_767 }
    }
}

/// What there is to choose from at this moment.
#[expect(missing_debug_implementations, reason = "it holds functions")]
pub struct Pool<'a> {
    pub settings: &'a ServiceSettings,
    pub is_dry_run: bool,
    pub random: &'a dyn Fn() -> u64,
    pub is_address_taken: &'a dyn Fn(IpAddr) -> bool,
    pub is_port_taken: &'a dyn Fn(u16) -> bool,
}

/// Why a Service gets nothing.
#[derive(Clone, Debug)]
pub enum Refusal {
    Invalid(Vec<field::Error>),
    /// Upstream finds no fault in the object here, only that it failed.
    Internal(String),
    /// An error that upstream gave no reason.
    Unnamed(String),
}

impl Refusal {
    fn at(fault: field::Error) -> Self {
        Refusal::Invalid(vec![fault])
    }
}

/// Gives a new Service, or one that changes, what it needs and was not given yet.
pub fn allot(pool: &Pool<'_>, old: Option<&Value>, new: &mut Value) -> Result<(), Refusal> {
    let is_kept = old.is_some_and(|old| families::is_kept_dual(old, new));
    if !is_kept {
        families::settle(pool.settings, old, new).map_err(Refusal::Invalid)?;
        allot_addresses(pool, old, new)?;
    }
    ports::allot(pool, old, new)
}

/// What only a Service with addresses has: upstream leaves it out of an external one when it is read.
pub(crate) fn strip(service: &mut Value) {
    if kind(service) != "ExternalName" {
        return;
    }
    if let Some(spec) = service["spec"].as_object_mut() {
        spec.remove("internalTrafficPolicy");
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if spec.get(field).is_some_and(is_empty) {
                spec.remove(field);
            }
        }
    }
}

fn allot_addresses(pool: &Pool<'_>, old: Option<&Value>, new: &mut Value) -> Result<(), Refusal> {
    let families: Vec<String> = texts(&new["spec"]["ipFamilies"]).map(str::to_owned).collect();
    let old = old.filter(|old| kind(old) != "ExternalName");
    let first = match old {
        _ if !has_addresses(new) => return Ok(()),
        None => 0,
        Some(old) if has_addresses(old) && texts(&old["spec"]["ipFamilies"]).count() == 1 && families.len() == 2 => 1,
        Some(_) => return Ok(()),
    };
    let asked: Vec<String> = texts(&new["spec"]["clusterIPs"]).map(str::to_owned).collect();
    let mut held = asked.clone();
    held.resize(asked.len().max(families.len()), String::new());
    for (address, family) in held.iter_mut().zip(&families).skip(first) {
        if address.is_empty() {
            *address = pool.next_address(family)?.to_string();
        } else if let Some(cause) = address.parse().ok().and_then(|ip| pool.address_refusal(ip)) {
            let text = format!("failed to allocate IP {address}: {cause}");
            return Err(Refusal::at(field::Error::invalid(&Path::new("spec").child("clusterIPs"), json!(asked), text)));
        }
    }
    if first == 0 {
        new["spec"]["clusterIP"] = json!(held.first());
    }
    new["spec"]["clusterIPs"] = Value::from(held);
    Ok(())
}

impl Pool<'_> {
    fn next_address(&self, family: &str) -> Result<IpAddr, Refusal> {
        let range = self.settings.ranges.iter().find(|range| range.family() == family);
        let next = range.and_then(|range| match self.is_dry_run {
            true => Some(range.nth(0)),
            false => range.candidates((self.random)()).find(|ip| !(self.is_address_taken)(*ip)),
        });
        next.ok_or_else(|| Refusal::Internal("failed to allocate a serviceIP: range is full".to_owned()))
    }

    fn address_refusal(&self, asked: IpAddr) -> Option<String> {
        let range = self.settings.ranges.iter().find(|range| range.is_ipv4() == asked.is_ipv4());
        let gives = |range: &&IpRange| range.gives(asked);
        match (self.is_dry_run, range) {
            (true, Some(range)) if !range.contains(asked) => {
                Some(format!("the provided IP ({asked}) is not in the valid range. The range of valid IPs is {range}"))
            }
            (true, _) => None,
            (false, range) if range.filter(gives).is_none() => Some("the provided network does not match the current range".to_owned()),
            (false, _) => (self.is_address_taken)(asked).then(|| "provided IP is already allocated".to_owned()),
        }
    }
}

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().filter(|kind| !kind.is_empty()).unwrap_or("ClusterIP")
}

fn is_headless(service: &Value) -> bool {
    texts(&service["spec"]["clusterIPs"]).next() == Some("None")
}

/// Headless and external ones have none.
fn has_addresses(service: &Value) -> bool {
    kind(service) != "ExternalName" && !is_headless(service)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
