//! The OpenAPI v3 documents of the API, one for each group and version, made from the catalog on request.
//!
//! kubectl reads them for `explain` and to learn that the server validates fields itself (a PATCH operation that takes
//! `fieldValidation`); SDK generators read all of it. Descriptions come from outside: the catalog holds facts, no sentences.
//! Invariant: what stands in a document is what the catalog says; there is no list of kinds here.

mod gnostic;
mod paths;
mod schema;
mod sentences;
#[cfg(test)]
mod tests;
mod v2;

pub use v2::document_v2;

use kinds::Catalog;
use serde_json::{Map, Value, json};

/// What the kinds and fields are for, in words. Types are named as in OpenAPI (`io.k8s.api.core.v1.Pod`).
pub trait Descriptions {
    fn of_type(&self, ty: &str) -> Option<&str>;
    fn of_field(&self, ty: &str, field: &str) -> Option<&str>;
}

/// Documents without sentences.
pub struct NoDescriptions;

impl Descriptions for NoDescriptions {
    fn of_type(&self, _: &str) -> Option<&str> {
        None
    }
    fn of_field(&self, _: &str, _: &str) -> Option<&str> {
        None
    }
}

const OPENID_CONFIGURATION: &str = ".well-known/openid-configuration";
const JWKS: &str = "openid/v1/jwks";

/// The paths under `/openapi/v3/` that have a document: `api`, `api/v1`, `apis`, `apis/apps`, `apis/apps/v1`.
pub fn document_paths(catalog: &Catalog) -> Vec<String> {
    let mut paths = [OPENID_CONFIGURATION, "api", "apis", JWKS, "version"].map(str::to_owned).to_vec();
    for group in &catalog.groups {
        if !group.name.is_empty() {
            paths.push(format!("apis/{}", group.name));
        }
        paths.extend(group.versions.iter().map(|version| root_of(&group.name, version)));
    }
    paths.sort();
    paths
}

/// What `/openapi/v3` answers; `hash` names the state of a document, so that clients may keep it for good.
pub fn index(catalog: &Catalog, hash: &dyn Fn(&str) -> String) -> Value {
    let paths: Map<String, Value> = document_paths(catalog)
        .into_iter()
        .map(|path| {
            let url = format!("/openapi/v3/{path}?hash={}", hash(&path));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// A document of either version in its protobuf form.
pub fn to_protobuf(document: &Value) -> Vec<u8> {
    gnostic::encode(if document.get("swagger").is_some() { "v2.Document" } else { "v3.Document" }, document)
}

/// The document of one path, or none when nothing is served there.
pub fn document(catalog: &Catalog, path: &str, descriptions: &dyn Descriptions) -> Option<Value> {
    let mut builder = Builder { catalog, schemas: schema::Schemas::new(catalog, descriptions) };
    let paths = match path.split('/').collect::<Vec<_>>()[..] {
        [".well-known", "openid-configuration"] => {
            let id = "getServiceAccountIssuerOpenIDConfiguration";
            builder.single(&format!("/{path}/"), "WellKnown", id, "", &["application/json"])
        }
        ["openid", "v1", "jwks"] => {
            builder.single(&format!("/{path}/"), "openid", "getServiceAccountIssuerOpenIDKeyset", "", &["application/jwk-set+json"])
        }
        ["version"] => builder.single("/version/", "version", "getCodeVersion", paths::VERSION_INFO, &["application/json"]),
        ["api"] => builder.single("/api/", "core", "getCoreAPIVersions", paths::API_VERSIONS, &paths::MEDIA_TYPES),
        ["apis"] => builder.single("/apis/", "apis", "getAPIVersions", paths::API_GROUP_LIST, &paths::MEDIA_TYPES),
        ["apis", group] => {
            catalog.groups.iter().find(|g| g.name == group)?;
            let id = format!("get{}APIGroup", paths::camel_group(group));
            builder.single(&format!("/apis/{group}/"), &paths::tag_group(group), &id, paths::API_GROUP, &paths::MEDIA_TYPES)
        }
        ["api", version] => builder.group_version("", version)?,
        ["apis", group, version] => builder.group_version(group, version)?,
        _ => return None,
    };
    let mut components = json!({"securitySchemes": {"BearerToken": bearer_token()}});
    let schemas = builder.schemas.into_value(path);
    if schemas.as_object().is_some_and(|schemas| !schemas.is_empty()) {
        components["schemas"] = schemas;
    }
    Some(json!({"openapi": "3.0.0", "info": info(), "paths": paths, "components": components}))
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "1.37"})
}

fn bearer_token() -> Value {
    json!({"type": "apiKey", "description": "A token in the Authorization header", "name": "authorization", "in": "header"})
}

struct Builder<'a> {
    catalog: &'a Catalog,
    schemas: schema::Schemas<'a>,
}

fn root_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}
