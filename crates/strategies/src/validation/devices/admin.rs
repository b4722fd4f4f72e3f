//! Admin access to devices, which a claim may have only in namespaces that are labelled for it.

use object::field::{Error, Path};
use object::meta;
use serde_json::Value;

const LABEL: &str = "resource.kubernetes.io/admin-access";

/// `namespace` is only looked for when it matters.
pub(crate) fn validate(
    plural: &str,
    subresource: &str,
    old: Option<&Value>,
    new: &Value,
    namespace: &dyn Fn() -> Option<Value>,
) -> Vec<Error> {
    let (list, path) = match (plural, subresource) {
        // Upstream: what is asked for cannot change.
        (_, "") if old.is_some() => return Vec::new(),
        ("resourceclaims", "") => ("/spec/devices/requests", "spec.devices.requests"),
        ("resourceclaimtemplates", "") => ("/spec/spec/devices/requests", "spec.devices.requests"),
        ("resourceclaims", "status") => ("/status/allocation/devices/results", "status.allocation.devices.results"),
        _ => return Vec::new(),
    };
    let first = |object: &Value| object.pointer(list).and_then(Value::as_array)?.iter().position(is_for_admin);
    let Some(index) = first(new).filter(|_| old.and_then(first).is_none()) else { return Vec::new() };
    let path = Path::new(path).index(index).child("adminAccess");
    match namespace() {
        Some(namespace) if meta::label(&namespace, LABEL) == Some("true") => Vec::new(),
        _ => {
            let text = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
            vec![Error::forbidden(&path, text)]
        }
    }
}

fn is_for_admin(request: &Value) -> bool {
    request["exactly"]["adminAccess"] == true || request["adminAccess"] == true
}
