//! Aggregated cluster roles: their rules are those of all roles their selectors find (upstream: `clusterroleaggregation`).

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use object::plan::{Change, Plan};
use object::selector::LabelSelector;
use serde_json::json;

/// `all` are the cluster's roles, in the order of their names.
pub fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Plan {
    let selectors = selectors(role);
    let mut rules: Vec<PolicyRule> = Vec::new();
    if selectors.is_empty() {
        return Plan::nothing();
    }
    for other in all.iter().filter(|other| other.metadata.name != role.metadata.name) {
        if selectors.iter().any(|selector| selects(selector, other)) {
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    if role.rules.as_deref().unwrap_or_default() == rules {
        return Plan::nothing();
    }
    let patch = json!({"rules": rules, "metadata": {"resourceVersion": role.metadata.resource_version}});
    Plan { changes: vec![Change::merge(role, "", patch)], ..Plan::nothing() }
}

/// Whether one role's rules are drawn from the other.
pub fn aggregates(role: &ClusterRole, other: &ClusterRole) -> bool {
    selectors(role).iter().any(|selector| selects(selector, other))
}

fn selectors(role: &ClusterRole) -> Vec<LabelSelector> {
    let listed = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    let tree = |selector| serde_json::to_value(selector).expect("a selector is plain data");
    listed.filter_map(|selector| LabelSelector::from_object(&tree(selector)).ok()).collect()
}

fn selects(selector: &LabelSelector, role: &ClusterRole) -> bool {
    selector.matches_with(&|key| role.metadata.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::Value;
    use object::plan::Write;

    fn role(tree: Value) -> Arc<ClusterRole> {
        Arc::new(serde_json::from_value(tree).unwrap())
    }

    #[test]
    fn rules_are_gathered_once_each() {
        let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
        let labelled = |name: &str, rules: Value| role(json!({"metadata": {"name": name, "labels": {"to-edit": "true"}}, "rules": rules}));
        let edit = role(
            json!({"metadata": {"name": "edit"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-edit": "true"}}]}}),
        );
        let all = [
            edit.clone(),
            labelled("a", json!([rule("get"), rule("list")])),
            labelled("b", json!([rule("get")])),
            role(json!({"metadata": {"name": "c"}, "rules": [rule("delete")]})),
        ];
        let change = plan(&edit, &all).changes.remove(0);
        let Write::Patch { patch, .. } = change.write else { panic!() };
        assert_eq!(patch["rules"], json!([rule("get"), rule("list")]));
        let settled = role(json!({"metadata": {"name": "edit"}, "aggregationRule": edit.aggregation_rule, "rules": patch["rules"]}));
        assert!(plan(&settled, &all).changes.is_empty());
        assert!(plan(&all[1], &all).changes.is_empty(), "a plain role is left alone");
    }
}
