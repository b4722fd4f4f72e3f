//! Aggregated ClusterRoles: the rules a role gathers from all roles its selectors match.

use object::meta;
use object::selector::LabelSelector;
use serde_json::Value;

/// The rules `role` should have; `None` when it does not aggregate or a selector is malformed. Order is upstream's: by selector, then by
/// role name, each rule once.
pub fn gathered_rules<'a>(role: &Value, all: impl Iterator<Item = &'a Value> + Clone) -> Option<Vec<Value>> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array()?;
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors {
        let selector = LabelSelector::from_object(selector).ok()?;
        let mut matching: Vec<&Value> = all
            .clone()
            .filter(|other| meta::name(other) != meta::name(role))
            .filter(|other| selector.matches(meta::labels(other)))
            .collect();
        matching.sort_by_key(|other| meta::name(other));
        for rule in matching.iter().flat_map(|other| other["rules"].as_array().into_iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Some(rules)
}
