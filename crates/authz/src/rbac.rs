//! The RBAC index: bindings by subject, rules by role. A request touches only the bindings of its user and groups.
//!
//! Invariant: after any order of `upsert` and `remove`, the index answers as one built anew from the objects that are left.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use object::key::GroupVersionKind;
use object::meta;
use serde_json::{Value, json};

use crate::request::{Attributes, UserInfo, Verdict};
use crate::rule::Rule;

/// Namespace (empty for cluster-wide) and name.
type Key = (String, String);

#[derive(Clone, Debug, Default)]
pub struct Rbac {
    /// Roles and ClusterRoles.
    roles: HashMap<Key, Arc<[Rule]>>,
    /// RoleBindings and ClusterRoleBindings.
    bindings: HashMap<Key, Arc<Binding>>,
    /// By the bindings' namespace: which of them name a subject.
    scopes: HashMap<String, Scope>,
}

#[derive(Clone, Debug, Default)]
struct Scope {
    users: HashMap<String, Bindings>,
    groups: HashMap<String, Bindings>,
}

/// By name and sorted, so that reasons do not change from run to run.
type Bindings = BTreeMap<String, Arc<Binding>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

#[derive(Debug)]
struct Binding {
    namespace: String,
    name: String,
    role_kind: String,
    role_name: String,
    /// What a request matches, and how a reason names it.
    subjects: Vec<(Subject, String)>,
}

impl Rbac {
    /// Takes in a Role, ClusterRole, RoleBinding or ClusterRoleBinding; other kinds are ignored.
    pub fn upsert(&mut self, object: &Value) {
        let key = (meta::namespace(object).to_owned(), meta::name(object).to_owned());
        match object["kind"].as_str().unwrap_or("") {
            "Role" | "ClusterRole" => {
                self.roles.insert(key, Rule::list_of(object).into());
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                self.remove_binding(&key);
                self.add_binding(key, Binding::from_value(object));
            }
            _ => {}
        }
    }

    pub fn remove(&mut self, kind: &GroupVersionKind, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        match kind.kind.as_str() {
            "Role" | "ClusterRole" => {
                self.roles.remove(&key);
            }
            "RoleBinding" | "ClusterRoleBinding" => self.remove_binding(&key),
            _ => {}
        }
    }

    fn add_binding(&mut self, key: Key, binding: Binding) {
        let binding = Arc::new(binding);
        let scope = self.scopes.entry(binding.namespace.clone()).or_default();
        for (subject, _) in &binding.subjects {
            let (side, name) = scope.side_mut(subject);
            side.entry(name.to_owned()).or_default().insert(binding.name.clone(), binding.clone());
        }
        self.bindings.insert(key, binding);
    }

    fn remove_binding(&mut self, key: &Key) {
        let Some(binding) = self.bindings.remove(key) else { return };
        let Some(scope) = self.scopes.get_mut(&binding.namespace) else { return };
        for (subject, _) in &binding.subjects {
            let (side, name) = scope.side_mut(subject);
            if let Some(bindings) = side.get_mut(name) {
                bindings.remove(&binding.name);
                if bindings.is_empty() {
                    side.remove(name);
                }
            }
        }
        if scope.users.is_empty() && scope.groups.is_empty() {
            self.scopes.remove(&binding.namespace);
        }
    }

    pub fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        let mut faults = Vec::new();
        for binding in self.bindings_of(request.user, request.namespace) {
            match self.rules_of_role(&binding.role_kind, &binding.role_name, &binding.namespace) {
                Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => {
                    return Verdict::allow(format!("RBAC: allowed by {}", binding.describe(request.user)));
                }
                Ok(_) => {}
                Err(fault) => faults.push(fault),
            }
        }
        Verdict::no_opinion(if faults.is_empty() { String::new() } else { format!("RBAC: {}", aggregate(faults)) })
    }

    /// Every rule that applies to a user in a namespace (and cluster-wide), and what could not be resolved.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> (Vec<&Rule>, Vec<String>) {
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        for binding in self.bindings_of(user, namespace) {
            match self.rules_of_role(&binding.role_kind, &binding.role_name, &binding.namespace) {
                Ok(rules) => found.extend(rules),
                Err(fault) => faults.push(fault),
            }
        }
        (found, faults)
    }

    /// The `status` of a SelfSubjectRulesReview.
    pub fn rules_review(&self, user: &UserInfo, namespace: &str) -> Value {
        let (rules, faults) = self.rules_for(user, namespace);
        let (mut resource_rules, mut path_rules) = (Vec::new(), Vec::new());
        for rule in rules {
            if !rule.resources.is_empty() {
                resource_rules.push(Rule { non_resource_urls: Vec::new(), ..rule.clone() }.to_value());
            }
            if !rule.non_resource_urls.is_empty() {
                path_rules.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            }
        }
        let mut status = json!({"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": !faults.is_empty()});
        if !faults.is_empty() {
            status["evaluationError"] = Value::from(aggregate(faults));
        }
        status
    }

    /// The rules behind a `roleRef`; an unknown role is a fault in upstream's words.
    pub fn rules_of_role(&self, kind: &str, name: &str, namespace: &str) -> Result<&[Rule], String> {
        let (key, word) = match kind {
            "Role" => ((namespace.to_owned(), name.to_owned()), "role"),
            "ClusterRole" => ((String::new(), name.to_owned()), "clusterrole"),
            other => return Err(format!("unsupported role reference kind: {other:?}")),
        };
        self.roles.get(&key).map(|rules| &**rules).ok_or_else(|| format!("{word}.rbac.authorization.k8s.io {name:?} not found"))
    }

    /// Cluster-wide bindings first, then those of the namespace; each once.
    fn bindings_of<'a>(&'a self, user: &'a UserInfo, namespace: &'a str) -> impl Iterator<Item = &'a Binding> {
        let namespaced = (!namespace.is_empty()).then_some(namespace);
        std::iter::once("").chain(namespaced).filter_map(|scope| self.scopes.get(scope)).flat_map(|scope| {
            let of_user = scope.users.get(&user.name);
            let of_groups = user.groups.iter().filter_map(|group| scope.groups.get(group));
            let mut found: BTreeMap<&str, &Binding> = BTreeMap::new();
            for bindings in of_user.into_iter().chain(of_groups) {
                found.extend(bindings.iter().map(|(name, binding)| (name.as_str(), &**binding)));
            }
            found.into_values()
        })
    }
}

impl Scope {
    fn side_mut<'a>(&mut self, subject: &'a Subject) -> (&mut HashMap<String, Bindings>, &'a str) {
        match subject {
            Subject::User(name) => (&mut self.users, name),
            Subject::Group(name) => (&mut self.groups, name),
        }
    }
}

impl Binding {
    fn from_value(object: &Value) -> Self {
        let namespace = meta::namespace(object);
        let subjects = object["subjects"].as_array().into_iter().flatten().filter_map(|s| subject(s, namespace)).collect();
        let text = |field: &str| object["roleRef"][field].as_str().unwrap_or("").to_owned();
        Binding {
            namespace: namespace.to_owned(),
            name: meta::name(object).to_owned(),
            role_kind: text("kind"),
            role_name: text("name"),
            subjects,
        }
    }

    /// `ClusterRoleBinding "x" of ClusterRole "y" to User "z"`.
    fn describe(&self, user: &UserInfo) -> String {
        let applies = |subject: &Subject| match subject {
            Subject::User(name) => *name == user.name,
            Subject::Group(name) => user.is_in(name),
        };
        let subject = self.subjects.iter().find(|(s, _)| applies(s)).map_or("", |(_, text)| text);
        // Upstream: a namespaced name is written name first.
        let (kind, name) = match self.namespace.as_str() {
            "" => ("ClusterRoleBinding", self.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        format!("{kind} {name:?} of {} {:?} to {subject}", self.role_kind, self.role_name)
    }
}

/// A subject as requests match it; `None` when nobody can be it.
fn subject(value: &Value, binding_namespace: &str) -> Option<(Subject, String)> {
    let text = |field: &str| value[field].as_str().unwrap_or("");
    let (kind, name) = (text("kind"), text("name"));
    match kind {
        "User" => Some((Subject::User(name.to_owned()), format!("User {name:?}"))),
        "Group" => Some((Subject::Group(name.to_owned()), format!("Group {name:?}"))),
        "ServiceAccount" => {
            let namespace = if text("namespace").is_empty() { binding_namespace } else { text("namespace") };
            let user = Subject::User(format!("system:serviceaccount:{namespace}:{name}"));
            (!namespace.is_empty()).then(|| (user, format!("ServiceAccount {:?}", format!("{name}/{namespace}"))))
        }
        _ => None,
    }
}

/// How Go prints several errors as one.
fn aggregate(mut faults: Vec<String>) -> String {
    let mut seen = std::collections::HashSet::new();
    faults.retain(|fault| seen.insert(fault.clone()));
    if let [only] = faults.as_slice() { only.clone() } else { format!("[{}]", faults.join(", ")) }
}
