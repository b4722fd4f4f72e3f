//! Each node's share of the pod networks, one a family.
//!
//! All nodes are planned at once, so that no two are given the same share (upstream: `ipam/range_allocator.go`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use object::plan::{Change, Note, Plan, Reference};
use serde_json::json;

/// A network to share out, and the prefix length of a node's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    first: u128,
    prefix_len: u8,
    share_len: u8,
    is_ipv6: bool,
}

/// Upstream: `--node-cidr-mask-size-ipv4` 24, `-ipv6` 64.
const SHARE_LEN_IPV4: u8 = 24;
const SHARE_LEN_IPV6: u8 = 64;

impl Pool {
    /// Reads `10.244.0.0/16`. A network smaller than a usual share goes to one node whole.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, len) = text.split_once('/')?;
        let prefix_len: u8 = len.parse().ok()?;
        let (bits, width, share_len) = match address.parse().ok()? {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32, SHARE_LEN_IPV4),
            IpAddr::V6(ip) => (u128::from(ip), 128, SHARE_LEN_IPV6),
        };
        if prefix_len > width || width - prefix_len > 127 {
            return None;
        }
        let host_bits = u32::from(width - prefix_len);
        Some(Pool { first: bits >> host_bits << host_bits, prefix_len, share_len: share_len.max(prefix_len), is_ipv6: width == 128 })
    }

    fn n_shares(self) -> u128 {
        1 << (self.share_len - self.prefix_len)
    }

    fn share(self, i: u128) -> String {
        let width: u8 = if self.is_ipv6 { 128 } else { 32 };
        let bits = self.first + (i << (width - self.share_len));
        let address: IpAddr = if self.is_ipv6 { Ipv6Addr::from(bits).into() } else { Ipv4Addr::from(bits as u32).into() };
        format!("{address}/{}", self.share_len)
    }
}

pub fn plan(nodes: &[Arc<Node>], pools: &[Pool]) -> Plan {
    let mut plan = Plan::nothing();
    let mut taken: BTreeSet<String> = nodes.iter().flat_map(|node| shares(node)).collect();
    let mut next = vec![0; pools.len()];
    for node in nodes.iter().filter(|node| shares(node).is_empty() && node.metadata.deletion_timestamp.is_none()) {
        let mut given = Vec::new();
        for (pool, next) in pools.iter().zip(&mut next) {
            while *next < pool.n_shares() && taken.contains(&pool.share(*next)) {
                *next += 1;
            }
            if *next < pool.n_shares() {
                given.push(pool.share(*next));
                *next += 1;
            }
        }
        if given.len() < pools.len() {
            let text = format!("Node {} status is now: CIDRNotAvailable", node.metadata.name.as_deref().unwrap_or(""));
            plan.notes.push(Note::normal(Reference::of(&**node), "CIDRNotAvailable", text));
        } else if let Some(first) = given.first().cloned() {
            taken.extend(given.iter().cloned());
            plan.changes.push(Change::merge(&**node, "", json!({"spec": {"podCIDR": first, "podCIDRs": given}})));
        }
    }
    plan
}

fn shares(node: &Node) -> Vec<String> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let all = spec.pod_cidrs.clone().unwrap_or_default();
    if all.is_empty() { spec.pod_cidr.clone().filter(|c| !c.is_empty()).into_iter().collect() } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::plan::Write;

    fn node(name: &str, cidrs: &[&str]) -> Arc<Node> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"podCIDRs": cidrs}})).unwrap())
    }

    fn check(pools: &[&str], nodes: &[Arc<Node>], expected: &[&str]) {
        let pools: Vec<Pool> = pools.iter().map(|p| Pool::parse(p).unwrap()).collect();
        let plan = plan(nodes, &pools);
        let mut seen: Vec<String> = plan.notes.iter().map(|n| n.message.clone()).collect();
        seen.extend(plan.changes.iter().map(|c| match &c.write {
            Write::Patch { key, patch, .. } => format!("{} {}", key.name, patch["spec"]["podCIDRs"]),
            other => panic!("{other:?}"),
        }));
        assert_eq!(seen, expected);
    }

    #[test]
    fn shares_are_given_once_and_in_both_families() {
        check(
            &["10.244.0.0/16", "fd00:1::/48"],
            &[node("a", &["10.244.0.0/24", "fd00:1::/64"]), node("b", &[]), node("c", &[])],
            &[r#"b ["10.244.1.0/24","fd00:1:0:1::/64"]"#, r#"c ["10.244.2.0/24","fd00:1:0:2::/64"]"#],
        );
        check(&["10.0.0.0/25"], &[node("a", &[]), node("b", &[])], &["Node b status is now: CIDRNotAvailable", r#"a ["10.0.0.0/25"]"#]);
    }

    #[test]
    fn bad_networks_are_refused() {
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/0"] {
            assert_eq!(Pool::parse(bad), None, "{bad}");
        }
    }
}
