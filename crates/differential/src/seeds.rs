//! Small valid objects of every kind, from which the cases are made.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinds::Resource;
use serde_json::{Value, json};

/// A served kind with its seeds.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) resource: Arc<Resource>,
    /// Names of kinds that must have a certain form; others are free.
    fixed_name: Option<String>,
    seeds: Vec<Value>,
}

/// Every resource that can be created, in discovery order.
pub(crate) fn subjects() -> Vec<Subject> {
    let mut seeds: BTreeMap<&str, (Option<String>, Vec<Value>)> = BTreeMap::new();
    for line in include_str!("../facts/seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let (id, rest) = line.split_once(' ').expect("a seed has an object");
        let (name, object) = match rest.strip_prefix("name=").and_then(|rest| rest.split_once(' ')) {
            Some((name, object)) => (Some(name.to_owned()), object),
            None => (None, rest),
        };
        let entry = seeds.entry(id).or_default();
        entry.0 = entry.0.take().or(name);
        entry.1.push(serde_json::from_str(object).unwrap_or_else(|e| panic!("the seed of {id}: {e}")));
    }
    let catalog = kinds::builtin();
    let creatable = catalog.resources.iter().filter(|r| r.has_verb("create"));
    creatable
        .map(|resource| {
            let id = id(resource);
            let (fixed_name, seeds) = seeds.remove(id.as_str()).unwrap_or_else(|| panic!("{id} has no seed"));
            Subject { resource: Arc::clone(resource), fixed_name, seeds }
        })
        .collect()
}

/// The subject of a resource that exists.
pub(crate) fn subject(id: &str) -> Subject {
    subjects().into_iter().find(|s| s.id() == id).unwrap_or_else(|| panic!("no resource {id}"))
}

fn id(resource: &Resource) -> String {
    format!("{}/{}/{}", resource.group, resource.version, resource.plural)
}

impl Subject {
    /// `apps/v1/deployments`; core kinds start with the slash.
    pub(crate) fn id(&self) -> String {
        id(&self.resource)
    }

    /// `apps-v1-deployments`, for names of stories.
    pub(crate) fn label(&self) -> String {
        self.id().trim_start_matches('/').replace('/', "-")
    }

    pub(crate) fn api_version(&self) -> String {
        self.resource.gvk().api_version()
    }

    /// The name that objects of this subject get: some kinds do not take any.
    pub(crate) fn name(&self, wanted: &str) -> String {
        self.fixed_name.clone().unwrap_or_else(|| wanted.to_owned())
    }

    pub(crate) fn has_free_names(&self) -> bool {
        self.fixed_name.is_none()
    }

    /// Reviews and bindings are created and never stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.resource.has_verb("get")
    }

    pub(crate) fn version_path(&self) -> String {
        let r = &self.resource;
        if r.group.is_empty() { format!("/api/{}", r.version) } else { format!("/apis/{}/{}", r.group, r.version) }
    }

    /// In the story's namespace.
    pub(crate) fn collection(&self) -> String {
        let (base, plural) = (self.version_path(), &self.resource.plural);
        if self.resource.namespaced { format!("{base}/namespaces/$(ns)/{plural}") } else { format!("{base}/{plural}") }
    }

    pub(crate) fn item(&self, name: &str) -> String {
        format!("{}/{}", self.collection(), self.name(name))
    }

    pub(crate) fn minimal(&self, name: &str) -> Value {
        self.object(&self.seeds[0], name)
    }

    pub(crate) fn rich(&self, name: &str) -> Value {
        self.object(&self.seeds[self.seeds.len() - 1], name)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<Value> {
        self.seeds.iter().map(|seed| self.object(seed, name)).collect()
    }

    fn object(&self, seed: &Value, name: &str) -> Value {
        let mut object = seed.clone();
        object["apiVersion"] = json!(self.api_version());
        object["kind"] = json!(self.resource.kind);
        object["metadata"]["name"] = json!(self.name(name));
        object
    }
}
