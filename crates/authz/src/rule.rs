//! One RBAC rule: what it allows, whether it covers another, how it is written.

use serde_json::{Map, Value};

use crate::Attributes;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
    pub non_resource_urls: Vec<String>,
}

const ALL: &str = "*";

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted)
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted || item == ALL)
}

fn has_each(list: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|w| has(list, w))
}

/// A path covers another when equal, or when it ends in stars and the rest is a prefix.
fn url_covers(owner: &str, path: &str) -> bool {
    owner == path || (owner.ends_with('*') && path.starts_with(owner.trim_end_matches('*')))
}

impl Rule {
    pub fn from_value(value: &Value) -> Self {
        let list = |field: &str| value[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Rule {
            verbs: list("verbs"),
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            non_resource_urls: list("nonResourceURLs"),
        }
    }

    /// The rules of a role; none when it has none.
    pub fn list_of(role: &Value) -> Vec<Self> {
        role["rules"].as_array().into_iter().flatten().map(Rule::from_value).collect()
    }

    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("verbs".to_owned(), Value::from(self.verbs.clone()));
        for (field, list) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !list.is_empty() {
                map.insert(field.to_owned(), Value::from(list.clone()));
            }
        }
        Value::Object(map)
    }

    pub fn allows(&self, request: &Attributes<'_>) -> bool {
        if !has_or_all(&self.verbs, request.verb) {
            return false;
        }
        if !request.is_resource_request {
            return self.non_resource_urls.iter().any(|url| url_covers(url, request.path));
        }
        has_or_all(&self.api_groups, request.group)
            && self.resources.iter().any(|resource| resource_matches(resource, request))
            && (self.resource_names.is_empty() || has(&self.resource_names, request.name))
    }

    /// Whether this rule grants all of `part`, which has at most one verb, group, resource and name.
    fn covers_part(&self, part: &Rule) -> bool {
        let verbs = has(&self.verbs, ALL) || has_each(&self.verbs, &part.verbs);
        let groups = has(&self.api_groups, ALL) || has_each(&self.api_groups, &part.api_groups);
        let resources = has(&self.resources, ALL) || part.resources.iter().all(|r| self.covers_resource(r));
        let names =
            self.resource_names.is_empty() || (!part.resource_names.is_empty() && has_each(&self.resource_names, &part.resource_names));
        let urls = part.non_resource_urls.iter().all(|url| self.non_resource_urls.iter().any(|owner| url_covers(owner, url)));
        verbs && groups && resources && names && urls
    }

    fn covers_resource(&self, resource: &str) -> bool {
        has(&self.resources, resource) || resource.split_once('/').is_some_and(|(_, sub)| has(&self.resources, &format!("*/{sub}")))
    }

    /// This rule as rules of one verb, group, resource and name each.
    fn parts(&self) -> Vec<Rule> {
        let mut parts = Vec::new();
        let one = |text: &String| vec![text.clone()];
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part = Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                    if self.resource_names.is_empty() {
                        parts.push(part);
                    } else {
                        parts.extend(self.resource_names.iter().map(|name| Rule { resource_names: one(name), ..part.clone() }));
                    }
                }
            }
        }
        for url in &self.non_resource_urls {
            parts.extend(self.verbs.iter().map(|verb| Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() }));
        }
        parts
    }

    /// `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`, as refusals name a missing right.
    pub fn compact_text(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

fn resource_matches(rule: &str, request: &Attributes<'_>) -> bool {
    if rule == ALL {
        return true;
    }
    if request.subresource.is_empty() {
        return rule == request.resource;
    }
    rule.split_once('/').is_some_and(|(resource, sub)| (resource == ALL || resource == request.resource) && sub == request.subresource)
}

/// Go's `%q` of a list of strings.
pub(crate) fn quoted(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(" "))
}

/// The rights of `wanted` that `held` does not grant, one a rule; empty when all are held.
pub fn missing<'a>(held: impl Iterator<Item = &'a Rule> + Clone, wanted: &[Rule]) -> Vec<Rule> {
    wanted.iter().flat_map(Rule::parts).filter(|part| !held.clone().any(|rule| rule.covers_part(part))).collect()
}

/// Joins single rights that differ only by verb.
pub fn compacted(rules: Vec<Rule>) -> Vec<Rule> {
    let mut joined: Vec<Rule> = Vec::new();
    for rule in rules {
        let is_simple = rule.non_resource_urls.is_empty();
        let same = joined.iter_mut().find(|j| {
            is_simple && j.api_groups == rule.api_groups && j.resources == rule.resources && j.resource_names == rule.resource_names
        });
        match same {
            Some(same) => same.verbs.extend(rule.verbs),
            None => joined.push(rule),
        }
    }
    joined
}
