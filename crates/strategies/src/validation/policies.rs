//! NetworkPolicies and PodDisruptionBudgets.

use object::cidr::Cidr;

use super::apps::{validate_amount, validate_at_most_all};
use crate::check::{At, Faults};
use crate::metadata;
use crate::shapes;

pub(crate) fn validate_network(policy: &At<'_>, faults: &mut Faults) {
    let spec = policy.get("spec");
    faults.selector(&spec.get("podSelector"));
    for (rules, ends) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.get(rules).items() {
            for port in rule.get("ports").items() {
                validate_port(&port, faults);
            }
            for peer in rule.get(ends).items() {
                validate_peer(&peer, faults);
            }
        }
    }
    let kinds = spec.get("policyTypes");
    if kinds.len() > 2 {
        faults.invalid(&kinds, "may not specify more than two policyTypes");
        return;
    }
    for kind in kinds.items().filter(|kind| !matches!(kind.text(), "Ingress" | "Egress")) {
        faults.not_supported(&kind, &["Ingress", "Egress"]);
    }
}

pub(crate) fn validate_network_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_network(new, faults);
}

fn validate_port(at: &At<'_>, faults: &mut Faults) {
    let (protocol, port, end) = (at.get("protocol"), at.get("port"), at.get("endPort"));
    faults.one_of(&protocol, &["TCP", "UDP", "SCTP"]);
    if !port.is_set() {
        if end.is_set() {
            faults.invalid_int(&end, "may not be specified when `port` is not specified");
        }
    } else if port.value.is_string() {
        if end.is_set() {
            faults.invalid_int(&end, "may not be specified when `port` is non-numeric");
        }
        shapes::port(&port, faults);
    } else {
        shapes::port(&port, faults);
        if end.is_set() {
            if end.int() < port.int() {
                faults.invalid_int(&end, "must be greater than or equal to `port`");
            }
            shapes::port(&end, faults);
        }
    }
}

fn validate_peer(peer: &At<'_>, faults: &mut Faults) {
    let (pods, namespaces, block) = (peer.get("podSelector"), peer.get("namespaceSelector"), peer.get("ipBlock"));
    faults.selector(&pods);
    faults.selector(&namespaces);
    if block.is_set() {
        validate_block(&block, faults);
    }
    match [&pods, &namespaces, &block].iter().filter(|at| at.is_set()).count() {
        0 => faults.required(peer, "must specify a peer"),
        1 => {}
        _ if block.is_set() => faults.forbidden(peer, "may not specify both ipBlock and another peer"),
        _ => {}
    }
}

fn validate_block(block: &At<'_>, faults: &mut Faults) {
    let range = block.get("cidr");
    if !faults.need_text_later(&range) {
        return;
    }
    let name = |range: &At<'_>| format!("ranges {}", range.value);
    faults.tolerable(name(&range), |faults| shapes::cidr(&range, faults));
    let Some(whole) = shapes::parse_range_sloppily(range.text()) else { return };
    for except in block.get("except").items() {
        faults.tolerable(name(&except), |faults| shapes::cidr(&except, faults));
        let is_inside = |part: &Cidr| part.is_ipv4() == whole.is_ipv4() && whole.contains(part.network()) && whole.prefix() < part.prefix();
        if shapes::parse_range_sloppily(except.text()).is_some_and(|part| !is_inside(&part)) {
            faults.invalid_text(&except, "must be a strict subset of `cidr`");
        }
    }
}

/// Upstream: the metadata of a budget is checked by the engine only.
pub(crate) fn validate_budget(budget: &At<'_>, faults: &mut Faults) {
    let spec = budget.get("spec");
    let (least, most) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if least.is_set() && most.is_set() {
        faults.invalid_go(&spec, "PodDisruptionBudgetSpec", spec.value, "minAvailable and maxUnavailable cannot be both set");
    }
    for amount in [least, most].iter().filter(|amount| amount.is_set()) {
        validate_amount(amount, faults);
        validate_at_most_all(amount, faults);
    }
    faults.selector(&spec.get("selector"));
    faults.one_of(&spec.get("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
}

pub(crate) fn validate_budget_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        return validate_budget(new, faults);
    }
    let status = new.get("status");
    let conditions = status.get("conditions");
    faults.0.extend(metadata::validate_condition_list(conditions.value, &conditions.path()));
    for count in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        faults.not_negative(&status.get(count));
    }
}
