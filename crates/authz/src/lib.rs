//! Who may do what: the Node and RBAC authorizers, escalation checks, the bootstrap policy.
//!
//! Pure indexes that are told of objects (`upsert`, `remove`) and asked (`authorize`); nothing is fetched.
//! Not here: authentication, webhooks, review API bodies (`apiserver` makes them from what is answered here).
//! Start with `request::Attributes`, then `rbac::Rbac`; `node::NodeGraph` is the kubelets' side, `authorize` joins both.

pub mod aggregation;
pub mod bootstrap;
pub mod escalation;
pub mod node;
pub mod rbac;
pub mod request;
pub mod rule;

pub use node::NodeGraph;
pub use rbac::Rbac;
pub use request::{Attributes, Decision, UserInfo, Verdict};

/// Members may do anything, before any authorizer is asked.
pub const PRIVILEGED_GROUP: &str = "system:masters";

/// The chain of upstream's `--authorization-mode=Node,RBAC`.
pub fn authorize(nodes: &NodeGraph, rbac: &Rbac, attributes: &Attributes<'_>) -> Verdict {
    if attributes.user.is_in(PRIVILEGED_GROUP) {
        return Verdict::allow(String::new());
    }
    let node = nodes.authorize(attributes);
    if node.decision != Decision::NoOpinion {
        return node;
    }
    let rbac = rbac.authorize(attributes);
    if rbac.decision != Decision::NoOpinion {
        return rbac;
    }
    let reasons: Vec<String> = [("node", node.reason), ("rbac", rbac.reason)]
        .into_iter()
        .filter(|(_, reason)| !reason.is_empty())
        .map(|(name, reason)| format!("{name}: {reason}"))
        .collect();
    Verdict::no_opinion(reasons.join("\n"))
}

#[cfg(test)]
mod tests;
