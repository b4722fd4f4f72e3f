//! Where objects lie in the store: `/<group or core>/<resource>/[<namespace>/]<name>`.
//!
//! Resources that upstream serves in two groups from one storage (events) share one address.

use std::sync::Arc;

use kinds::Resource;

/// All objects of a resource, or of one namespace; ends in `/`.
pub fn prefix(resource: &Resource, namespace: &str) -> String {
    let group = resource.storage_group.as_str();
    let group = if group.is_empty() { "core" } else { group };
    if namespace.is_empty() || !resource.namespaced {
        format!("/{group}/{}/", resource.plural)
    } else {
        format!("/{group}/{}/{namespace}/", resource.plural)
    }
}

pub fn key(resource: &Resource, namespace: &str, name: &str) -> Arc<str> {
    let mut key = prefix(resource, namespace);
    key.push_str(name);
    key.into()
}

/// Namespace and name at the end of a key.
pub fn parts<'a>(resource: &Resource, key: &'a str) -> (&'a str, &'a str) {
    let mut parts = key.rsplit('/');
    let name = parts.next().unwrap_or("");
    let namespace = if resource.namespaced { parts.next().unwrap_or("") } else { "" };
    (namespace, name)
}

/// The key of a cluster-scoped object whose resource is not at hand.
pub fn plain_key(group: &str, plural: &str, name: &str) -> Arc<str> {
    format!("/{group}/{plural}/{name}").into()
}
