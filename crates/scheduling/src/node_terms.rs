//! Node selectors, taints and tolerations: does this pod want, or bear, this node?

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PodSpec, Taint, Toleration};

/// One term of a node selector; all its expressions must hold. A term without any matches nothing, as upstream has it.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    labels: Vec<Expression>,
    /// Over `metadata.name`, the only field there is.
    fields: Vec<Expression>,
}

#[derive(Clone, Debug)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Term {
    pub(crate) fn compile(term: &NodeSelectorTerm) -> Self {
        let compile = |list: Option<&Vec<k8s_openapi::api::core::v1::NodeSelectorRequirement>>| {
            list.into_iter()
                .flatten()
                .map(|r| Expression { key: r.key.clone(), operator: r.operator.clone(), values: r.values.clone().unwrap_or_default() })
                .collect()
        };
        Term { labels: compile(term.match_expressions.as_ref()), fields: compile(term.match_fields.as_ref()) }
    }

    pub(crate) fn matches(&self, node_name: &str, labels: &BTreeMap<String, String>) -> bool {
        let says_something = !self.labels.is_empty() || !self.fields.is_empty();
        says_something
            && self.labels.iter().all(|e| e.holds(labels.get(&e.key).map(String::as_str)))
            && self.fields.iter().all(|e| e.key == "metadata.name" && e.holds(Some(node_name)))
    }
}

impl Expression {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|v| self.values.iter().any(|w| w == v));
        let compared = |wanted: fn(&i64, &i64) -> bool| {
            let limit = self.values.first().and_then(|v| v.parse::<i64>().ok());
            value.and_then(|v| v.parse::<i64>().ok()).zip(limit).is_some_and(|(v, l)| wanted(&v, &l))
        };
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compared(i64::gt),
            "Lt" => compared(i64::lt),
            _ => false,
        }
    }
}

pub(crate) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| bears(toleration, taint))
}

/// Whether one toleration covers the taint.
pub fn bears(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or("");
    let effect = toleration.effect.as_deref().unwrap_or("");
    let exists = toleration.operator.as_deref() == Some("Exists");
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || (key.is_empty() && exists))
        && (exists || toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or(""))
}

/// Whether a pod's node selector and required node affinity allow a node.
pub fn allows(spec: &PodSpec, node_name: &str, labels: &BTreeMap<String, String>) -> bool {
    let is_selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    is_selected && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| Term::compile(term).matches(node_name, labels)))
}
