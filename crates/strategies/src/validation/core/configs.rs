//! ConfigMaps and Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::check::{At, Faults};
use crate::row::NameRule;
use crate::shapes;

/// Upstream: `MaxSecretSize`, of ConfigMaps too.
const BYTES_MAX: usize = 1 << 20;
const SEALED: &str = "field is immutable when `immutable` is set";

fn decoded(at: &At<'_>) -> Vec<u8> {
    STANDARD.decode(at.text()).unwrap_or_default()
}

pub(crate) fn validate_config_map(map: &At<'_>, faults: &mut Faults) {
    let (data, binary) = (map.get("data"), map.get("binaryData"));
    let mut bytes = 0;
    for (key, value) in data.entries() {
        faults.each_as(&value, key, shapes::config_key(key));
        if binary.value.get(key).is_some() {
            faults.invalid_as(&value, key, "duplicate of key present in binaryData");
        }
        bytes += value.text().len();
    }
    for (key, value) in binary.entries() {
        faults.each_as(&value, key, shapes::config_key(key));
        bytes += shapes::decoded_len(value.text());
    }
    if bytes > BYTES_MAX {
        faults.too_long(&At::root(&Value::Null).named(""), BYTES_MAX);
    }
}

/// What is sealed stays as it is.
fn validate_sealed(old: &At<'_>, new: &At<'_>, fields: &[&'static str], faults: &mut Faults) {
    if !old.get("immutable").is_true() {
        return;
    }
    if !new.get("immutable").is_true() {
        faults.forbidden(&new.get("immutable"), SEALED);
    }
    for field in fields.iter().filter(|field| old.value[**field] != new.value[**field]) {
        faults.forbidden(&new.get(field), SEALED);
    }
}

pub(crate) fn validate_config_map_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_sealed(old, new, &["data", "binaryData"], faults);
    faults.metadata(new, true, NameRule::Subdomain);
    validate_config_map(new, faults);
}

/// Keys that a type of secret must have, all of them.
fn needed_keys(kind: &str) -> &'static [&'static str] {
    match kind {
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    }
}

pub(crate) fn validate_secret(secret: &At<'_>, faults: &mut Faults) {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let data = secret.get("data");
    let mut bytes = 0;
    for (key, value) in data.entries() {
        faults.each_as(&value, key, shapes::config_key(key));
        bytes += shapes::decoded_len(value.text());
    }
    if bytes > BYTES_MAX {
        faults.too_long(&data, BYTES_MAX);
    }
    let kind = secret.get("type").text();
    for key in needed_keys(kind).iter().filter(|key| data.value.get(**key).is_none()) {
        faults.required(&data.key(key), "");
    }
    match kind {
        "kubernetes.io/service-account-token" => {
            let account = secret.get("metadata").get("annotations").key(ACCOUNT);
            faults.need_text(&account);
        }
        "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" => {
            for key in needed_keys(kind).iter().filter(|key| data.value.get(**key).is_some()) {
                validate_json(&data.key(key), faults);
            }
        }
        "kubernetes.io/basic-auth" if data.value.get("username").is_none() && data.value.get("password").is_none() => {
            faults.required(&data.key("username"), "");
            faults.required(&data.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if !data.key("ssh-privatekey").has_text() => faults.required(&data.key("ssh-privatekey"), ""),
        _ => {}
    }
}

/// Upstream shows Go's complaint; ours says the same of the two mistakes people make.
fn validate_json(at: &At<'_>, faults: &mut Faults) {
    let text = decoded(at);
    let fault = match serde_json::from_slice::<Value>(&text) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", go_kind(&other)),
        Err(e) if e.is_eof() => "unexpected end of JSON input".to_owned(),
        Err(e) => {
            let column = e.column().saturating_sub(1);
            let found = text.split(|c| *c == b'\n').nth(e.line().saturating_sub(1)).and_then(|line| line.get(column)).copied();
            let what = if text.iter().position(|c| !c.is_ascii_whitespace()) == Some(column) {
                "looking for beginning of value"
            } else {
                "after top-level value"
            };
            match found {
                Some(c) => format!("invalid character '{}' {what}", char::from(c)),
                None => "unexpected end of JSON input".to_owned(),
            }
        }
    };
    faults.invalid_as(at, "<secret contents redacted>", fault);
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        _ => "string",
    }
}

pub(crate) fn validate_secret_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.immutable(&old.get("type"), &new.get("type"));
    validate_sealed(old, new, &["data"], faults);
    faults.metadata(new, true, NameRule::Subdomain);
    validate_secret(new, faults);
}
