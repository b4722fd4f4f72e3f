//! What is served where: `/api`, `/apis` and below, in the old form and the aggregated one. Built from the catalog alone.

use std::fmt::Write;

use kinds::{Catalog, Group, Resource};
use object::Value;
use object::key::GroupVersionKind;
use serde_json::{Map, json};
use sha2::{Digest, Sha256};

/// `/api`.
pub(crate) fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`.
pub(crate) fn groups(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = named_groups(catalog).map(group_value).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(crate) fn group(catalog: &Catalog, name: &str) -> Option<Value> {
    let mut value = group_value(named_groups(catalog).find(|g| g.name == name)?);
    value["kind"] = Value::from("APIGroup");
    value["apiVersion"] = Value::from("v1");
    Some(value)
}

fn named_groups(catalog: &Catalog) -> impl Iterator<Item = &Group> {
    catalog.groups.iter().filter(|g| !g.name.is_empty())
}

fn group_value(group: &Group) -> Value {
    let versions: Vec<Value> =
        group.versions.iter().map(|v| json!({"groupVersion": format!("{}/{v}", group.name), "version": v})).collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions[0]})
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(crate) fn resources(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let is_served = catalog.groups.iter().any(|g| g.name == group && g.versions.iter().any(|v| v == version));
    if !is_served {
        return None;
    }
    let mut rows = Vec::new();
    for resource in served(catalog, group, version) {
        rows.push(resource_row(resource));
        rows.extend(resource.subresources.iter().map(|s| {
            let mut row = json!({
                "name": format!("{}/{}", resource.plural, s.name), "singularName": "", "namespaced": resource.namespaced,
                "kind": s.kind.kind, "verbs": s.verbs,
            });
            if s.kind.group != group || s.kind.version != version {
                put_text(&mut row, "group", &s.kind.group);
                put_text(&mut row, "version", &s.kind.version);
            }
            row
        }));
    }
    rows.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = GroupVersionKind::new(group, version, "").api_version();
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": rows});
    if !group.is_empty() {
        // Upstream: the oldest of these documents never had it.
        list["apiVersion"] = Value::from("v1");
    }
    Some(list)
}

fn served<'a>(catalog: &'a Catalog, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Resource> {
    catalog.resources.iter().map(AsRef::as_ref).filter(move |r| r.group == group && r.version == version)
}

fn resource_row(resource: &Resource) -> Value {
    let mut row = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    put_list(&mut row, "shortNames", &resource.short_names);
    put_list(&mut row, "categories", &resource.categories);
    if resource.has_verb("list") && resource.has_verb("create") {
        row["storageVersionHash"] = Value::from(storage_version_hash(resource));
    }
    row
}

/// Upstream: the first eight bytes of a digest of what is stored; clients only compare it.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine;
    // Upstream: these are stored in an older version's form, which is the same but for its name.
    let version = match (resource.storage_group.as_str(), resource.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("certificates.k8s.io", "ClusterTrustBundle" | "PodCertificateRequest")
        | ("storagemigration.k8s.io", "StorageVersionMigration") => "v1beta1",
        ("resource.k8s.io", "DeviceTaintRule") => "v1beta2",
        _ => &resource.storage_version,
    };
    let digest = Sha256::digest(format!("{}/{version}/{}", resource.storage_group, resource.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

/// `/api` (`core` true) or `/apis` as one `APIGroupDiscoveryList`.
pub(crate) fn aggregated(catalog: &Catalog, core: bool) -> Value {
    let items: Vec<Value> = catalog
        .groups
        .iter()
        .filter(|g| g.name.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = group.versions.iter().map(|version| aggregated_version(catalog, &group.name, version)).collect();
            let metadata = if core { json!({}) } else { json!({"name": group.name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_version(catalog: &Catalog, group: &str, version: &str) -> Value {
    let rows: Vec<Value> = served(catalog, group, version)
        .map(|resource| {
            let mut row = json!({
                "resource": resource.plural,
                "responseKind": kind_value(&resource.gvk(), resource),
                "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": resource.singular,
                "verbs": resource.verbs,
            });
            put_list(&mut row, "shortNames", &resource.short_names);
            put_list(&mut row, "categories", &resource.categories);
            let subresources: Vec<Value> = resource
                .subresources
                .iter()
                .map(|s| json!({"subresource": s.name, "responseKind": kind_value(&s.kind, resource), "verbs": s.verbs}))
                .collect();
            if !subresources.is_empty() {
                row["subresources"] = Value::from(subresources);
            }
            row
        })
        .collect();
    json!({"version": version, "resources": rows, "freshness": "Current"})
}

/// Upstream leaves group and version out where they are the resource's own.
fn kind_value(kind: &GroupVersionKind, resource: &Resource) -> Value {
    if kind.group == resource.group && kind.version == resource.version {
        return json!({"group": "", "version": "", "kind": kind.kind});
    }
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn put_list(row: &mut Value, member: &str, list: &[String]) {
    if !list.is_empty() {
        row[member] = Value::from(list.to_vec());
    }
}

fn put_text(row: &mut Value, member: &str, text: &str) {
    if !text.is_empty() {
        row[member] = Value::from(text);
    }
}

/// Quoted, as an ETag is.
pub(crate) fn etag(document: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in Sha256::digest(document) {
        write!(text, "{byte:02X}").expect("memory takes all bytes");
    }
    text.push('"');
    text
}

/// `/`: every path there is.
pub(crate) fn paths(catalog: &Catalog, others: &[String]) -> Value {
    let mut paths: Vec<String> = vec!["/api".into(), "/api/v1".into(), "/apis".into(), "/apis/".into()];
    for group in named_groups(catalog) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|v| format!("/apis/{}/{v}", group.name)));
    }
    paths.extend(others.iter().cloned());
    paths.sort();
    paths.dedup();
    let mut value = Map::new();
    value.insert("paths".to_owned(), Value::from(paths));
    Value::Object(value)
}
