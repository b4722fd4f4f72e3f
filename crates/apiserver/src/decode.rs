//! From the bytes of a body to a tree of the expected kind, in Go's form, with what was odd about it.

use kinds::{Catalog, TypeId};
use object::Value;
use object::key::GroupVersionKind;
use object::status::Status;
use registry::options::FieldValidation;

use crate::negotiate::Format;

/// A body that is an object of the kind expected, and warnings about its fields.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// Decodes a body that must be of `expected`; an unset kind or version is taken to be right.
pub(crate) fn typed(
    catalog: &Catalog,
    expected: &GroupVersionKind,
    type_id: TypeId,
    format: Format,
    body: &[u8],
    validation: &FieldValidation,
) -> Result<Decoded, Status> {
    let refused = |cause: &str| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {cause}",
            expected.kind, expected.version, expected.kind
        ))
    };
    let (mut object, faults) = match format {
        Format::Json => {
            let parsed = codec::json::parse(body).map_err(|e| unreadable(expected, &e.to_string()))?;
            // A body of another kind is refused for that, not for its fields.
            let is_checked = *validation != FieldValidation::Ignore && is_kind(&parsed.value, expected);
            let faults = if is_checked { codec::strict::check_json(catalog, type_id, &parsed, body) } else { Vec::new() };
            (parsed.value, faults)
        }
        Format::Yaml => (yaml(body).map_err(|e| unreadable(expected, &e))?, Vec::new()),
        Format::Protobuf => (codec::protobuf::decode(catalog, body).map_err(|e| unreadable(expected, &e.to_string()))?.1, Vec::new()),
    };
    check_kind(&object, expected)?;
    let faults = match format {
        Format::Yaml if *validation != FieldValidation::Ignore => {
            let mut all: Vec<String> = std::str::from_utf8(body).ok().and_then(codec::yaml::duplicates).into_iter().collect();
            all.extend(codec::strict::check(catalog, type_id, &object));
            all
        }
        _ => faults,
    };
    if *validation == FieldValidation::Strict && !faults.is_empty() {
        return Err(refused(&format!("strict decoding error: {}", faults.join(", "))));
    }
    codec::normalise(catalog, type_id, &mut object).map_err(|e| refused(&e))?;
    object["kind"] = Value::from(expected.kind.clone());
    object["apiVersion"] = Value::from(expected.api_version());
    let warnings = if *validation == FieldValidation::Warn { faults } else { Vec::new() };
    Ok(Decoded { object, warnings })
}

fn unreadable(expected: &GroupVersionKind, cause: &str) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {cause}",
        expected.kind
    ))
}

fn is_kind(object: &Value, expected: &GroupVersionKind) -> bool {
    check_kind(object, expected).is_ok()
}

fn check_kind(object: &Value, expected: &GroupVersionKind) -> Result<(), Status> {
    let api_version = object["apiVersion"].as_str().unwrap_or("");
    let kind = object["kind"].as_str().unwrap_or("");
    if !api_version.is_empty() && api_version != expected.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version()
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: the kind in the data does not match the expected kind",
            expected.version, expected.kind
        )));
    }
    Ok(())
}

/// A patch body: JSON, or YAML for server-side apply.
pub(crate) fn patch(kind: registry::PatchKind, body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    if kind == registry::PatchKind::Apply {
        return yaml(body).map(|tree| (tree, Vec::new())).map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")));
    }
    let parsed = codec::json::parse(body).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    Ok((parsed.value, parsed.duplicates))
}

/// The options of a deletion come with the version of the resource's group or without one.
pub(crate) fn delete_options(catalog: &Catalog, kind: &GroupVersionKind, format: Format, body: &[u8]) -> Result<Value, Status> {
    let type_id = catalog.type_of(kind).ok_or_else(|| Status::internal("no type for DeleteOptions"))?;
    let mut object = match format {
        Format::Json => codec::json::parse(body).map_err(|e| unreadable(kind, &e.to_string()))?.value,
        Format::Yaml => yaml(body).map_err(|e| unreadable(kind, &e))?,
        Format::Protobuf => codec::protobuf::decode(catalog, body).map_err(|e| unreadable(kind, &e.to_string()))?.1,
    };
    let sent = object["kind"].as_str().unwrap_or("");
    if !matches!(sent, "" | "DeleteOptions") {
        return Err(Status::bad_request(format!("decoded object cannot be converted to DeleteOptions: {sent}")));
    }
    codec::normalise(catalog, type_id, &mut object).map_err(Status::bad_request)?;
    Ok(object)
}

fn yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    codec::yaml::parse(text).map_err(|e| e.to_string())
}
