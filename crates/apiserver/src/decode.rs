//! From the bytes of a body to a tree of the expected kind, in Go's form, with what was odd about it.

use codec::json_fault;
use kinds::{Catalog, TypeId};
use object::Value;
use object::key::GroupVersionKind;
use object::status::Status;
use registry::options::FieldValidation;
use registry::{Patch, PatchKind};

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
    let mut too_large = None;
    let (mut object, faults) = match format {
        Format::Json => {
            let parsed = codec::json::parse_typed(body).map_err(|e| unreadable_json(expected, body, &e))?;
            check_is_object(expected, &parsed.value, body)?;
            // A body of another kind is refused for that, not for its fields.
            let is_checked = *validation != FieldValidation::Ignore && check_kind(catalog, &parsed.value, expected).is_ok();
            let faults = if is_checked { codec::strict::check_json(catalog, type_id, &parsed, body) } else { Vec::new() };
            too_large = parsed.too_large;
            (parsed.value, faults)
        }
        Format::Yaml => (yaml(body).map_err(|e| unrecognized(expected, body, &format!("yaml: {e}")))?, Vec::new()),
        Format::Protobuf => (protobuf(catalog, body).map_err(|e| unrecognized(expected, body, &e))?, Vec::new()),
    };
    let api_version = object["apiVersion"].as_str().unwrap_or("");
    if api_version.matches('/').count() > 1 {
        return Err(unrecognized(expected, body, &format!("unexpected GroupVersion string: {api_version}")));
    }
    check_kind(catalog, &object, expected)?;
    let faults = match format {
        Format::Yaml if *validation != FieldValidation::Ignore => {
            let mut all: Vec<String> = std::str::from_utf8(body).ok().and_then(codec::yaml::duplicates).into_iter().collect();
            all.extend(codec::strict::check(catalog, type_id, &object));
            all
        }
        _ => faults,
    };
    let normalised = match format {
        Format::Json => codec::normalise_json(catalog, type_id, &mut object, too_large.as_deref(), body),
        Format::Yaml | Format::Protobuf => codec::normalise(catalog, type_id, &mut object),
    };
    normalised.map_err(|e| refused(&e))?;
    if *validation == FieldValidation::Strict && !faults.is_empty() {
        return Err(refused(&format!("strict decoding error: {}", faults.join(", "))));
    }
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

fn unreadable_json(expected: &GroupVersionKind, body: &[u8], error: &codec::json::Error) -> Status {
    let cause = json_fault::find(body).unwrap_or_else(|| error.to_string());
    unreadable(expected, &format!("{cause} ({})", json_fault::summary(body)))
}

/// Upstream looks for the kind first, in what must be an object.
fn check_is_object(expected: &GroupVersionKind, value: &Value, body: &[u8]) -> Result<(), Status> {
    match codec::json::type_meta_fault(value) {
        None => Ok(()),
        Some(fault) => Err(unreadable(expected, &format!("{fault} ({})", json_fault::summary(body)))),
    }
}

/// A body that is not even of its format; `cause` is that reader's own.
fn unrecognized(expected: &GroupVersionKind, body: &[u8], cause: &str) -> Status {
    let summary = json_fault::summary(body);
    Status::bad_request(format!("the object provided is unrecognized (must be of type {}): {cause} ({summary})", expected.kind))
}

fn protobuf(catalog: &Catalog, body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Err("empty data".to_owned());
    }
    if !body.starts_with(codec::protobuf::MAGIC) {
        return Err("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".to_owned());
    }
    if body.len() == codec::protobuf::MAGIC.len() {
        return Err("empty body".to_owned());
    }
    codec::protobuf::decode(catalog, body).map(|(_, object)| object).map_err(|e| e.to_string())
}

/// What upstream's scheme says of a kind it does not know.
fn unregistered(kind: &str, api_version: &str) -> String {
    format!("no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/runtime/scheme.go:111\"")
}

fn check_kind(catalog: &Catalog, object: &Value, expected: &GroupVersionKind) -> Result<(), Status> {
    let or = |member: &str, unset: String| object[member].as_str().filter(|text| !text.is_empty()).map_or(unset, str::to_owned);
    let api_version = or("apiVersion", expected.api_version());
    let kind = or("kind", expected.kind.clone());
    if api_version == expected.api_version() && kind == expected.kind {
        return Ok(());
    }
    let sent = GroupVersionKind::from_api_version(&api_version, &kind);
    if kind == expected.kind && catalog.type_of(&sent).is_some_and(|sent| catalog.type_of(expected) == Some(sent)) {
        return Ok(());
    }
    let refused = |cause: String| {
        Err(Status::bad_request(format!("{} in version {:?} cannot be handled as a {}: {cause}", sent.kind, sent.version, expected.kind)))
    };
    if catalog.type_of(&sent).is_none() {
        return refused(unregistered(&sent.kind, &api_version));
    }
    if internal_kind(catalog, &sent) == internal_kind(catalog, expected) {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version()
        )));
    }
    refused(format!(
        "converting ({}.{}) to ({}): unknown conversion",
        sent.version,
        sent.kind,
        internal_type(&expected.group, &expected.kind)
    ))
}

/// Versions and groups of one kind share a Go type inside of upstream.
fn internal_kind(catalog: &Catalog, kind: &GroupVersionKind) -> String {
    let row = catalog.resources.iter().find(|r| r.group == kind.group && r.version == kind.version && r.kind == kind.kind);
    internal_type(row.map_or(&kind.group, |row| &row.storage_group), &kind.kind)
}

/// Upstream's name of a kind's internal Go type: messages show it.
pub(crate) fn internal_type(group: &str, kind: &str) -> String {
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) };
    format!("{package}.{kind}")
}

/// A patch body: JSON, or YAML for server-side apply.
pub(crate) fn patch(kind: PatchKind, body: &[u8], validation: &FieldValidation) -> Result<Patch, Status> {
    if kind == PatchKind::Apply {
        return applied(body, validation);
    }
    let parsed = codec::json::parse(body).map_err(|_| Status::bad_request("invalid JSON patch"))?;
    Ok(Patch { kind, tree: parsed.value, faults: parsed.duplicates, refusal: None })
}

/// Keys that stand twice are told or refused before anything is merged.
fn applied(body: &[u8], validation: &FieldValidation) -> Result<Patch, Status> {
    if let Some(tree) = plain_json(body) {
        return Ok(Patch { kind: PatchKind::Apply, tree, faults: Vec::new(), refusal: None });
    }
    // Upstream makes JSON of what does not look like it before it asks for the object.
    let step = if body.trim_ascii_start().starts_with(b"{") { "decoding patch: error converting YAML to JSON" } else { "encoding patch" };
    let tree = yaml(body).map_err(|e| Status::bad_request(format!("error {step}: yaml: {e}")))?;
    if !tree.is_null() && !tree.is_object() {
        let found = codec::json::kind_of(&tree);
        return Err(Status::bad_request(format!(
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    }
    let doubled = match validation {
        FieldValidation::Ignore => None,
        _ => std::str::from_utf8(body).ok().and_then(codec::yaml::duplicates),
    };
    let (faults, refusal) = match doubled {
        Some(text) if *validation == FieldValidation::Strict => {
            (Vec::new(), Some(format!("error strict decoding patch: error converting YAML to JSON: {text}")))
        }
        Some(text) => (text.lines().skip(1).map(|line| line.trim().to_owned()).collect(), None),
        None => (Vec::new(), None),
    };
    Ok(Patch { kind: PatchKind::Apply, tree, faults, refusal })
}

/// The options of a deletion come with the version of the resource's group or without one.
pub(crate) fn delete_options(catalog: &Catalog, kind: &GroupVersionKind, format: Format, body: &[u8]) -> Result<Value, Status> {
    let type_id = catalog.type_of(kind).ok_or_else(|| Status::internal("no type for DeleteOptions"))?;
    let mut object = match format {
        Format::Json => {
            let text = |e: codec::json::Error| json_fault::find(body).unwrap_or_else(|| e.to_string());
            let unreadable = |e| Status::bad_request(format!("couldn't get version/kind; json parse error: {}", text(e)));
            let value = codec::json::parse(body).map_err(unreadable)?.value;
            match codec::json::type_meta_fault(&value) {
                None => value,
                Some(fault) => return Err(Status::bad_request(format!("couldn't get version/kind; json parse error: {fault}"))),
            }
        }
        Format::Yaml => yaml(body).map_err(|e| unreadable(kind, &e))?,
        Format::Protobuf => codec::protobuf::decode(catalog, body).map_err(|e| unreadable(kind, &e.to_string()))?.1,
    };
    let sent = object["kind"].as_str().unwrap_or("");
    if !matches!(sent, "" | "DeleteOptions") {
        return Err(Status::bad_request(unregistered(sent, object["apiVersion"].as_str().unwrap_or(""))));
    }
    codec::normalise(catalog, type_id, &mut object).map_err(Status::bad_request)?;
    Ok(object)
}

/// JSON is YAML, and what programs send as YAML mostly is JSON, which is read far faster.
fn yaml(body: &[u8]) -> Result<Value, String> {
    if let Some(tree) = plain_json(body) {
        return Ok(tree);
    }
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    // Upstream reads the first document and leaves what follows.
    codec::yaml::documents(text).next().unwrap_or(Ok(Value::Null)).map_err(|e| e.to_string())
}

/// An object in JSON that YAML's reader takes too, without a key that stands twice, as clients send most YAML.
fn plain_json(body: &[u8]) -> Option<Value> {
    let parsed = body.starts_with(b"{").then(|| codec::json::parse(body).ok()).flatten()?;
    (parsed.duplicates.is_empty() && !parsed.is_repaired).then_some(parsed.value)
}
