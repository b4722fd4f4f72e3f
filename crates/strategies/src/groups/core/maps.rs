//! ConfigMaps and Secrets: their keys, their size, and that an immutable one stays as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::field::{Error, Path};
use serde_json::Value;

/// Upstream: `MaxSecretSize`, for both kinds.
const BYTES_MAX: usize = 1024 * 1024;
const KEY_LEN_MAX: usize = 253;
const KEY_TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE_TEXT: &str = "field is immutable when `immutable` is set";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub(super) fn validate_config_map(map: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut n_bytes = 0;
    for (key, value) in entries(map, "data") {
        let at = Path::new("data").key(key);
        faults.extend(key_faults(&at, key));
        if !map["binaryData"][key].is_null() {
            faults.push(Error::invalid(&at, key.as_str(), "duplicate of key present in binaryData"));
        }
        n_bytes += value.as_str().unwrap_or("").len();
    }
    for (key, value) in entries(map, "binaryData") {
        faults.extend(key_faults(&Path::new("binaryData").key(key), key));
        n_bytes += decoded(value).len();
    }
    if n_bytes > BYTES_MAX {
        faults.push(Error::too_long(&Path::new(""), BYTES_MAX));
    }
    faults
}

pub(super) fn validate_config_map_update(_: &str, old: &Value, new: &Value) -> Vec<Error> {
    let mut faults = immutable_faults(old, new, &["data", "binaryData"]);
    faults.extend(validate_config_map(new));
    faults
}

pub(super) fn validate_secret(secret: &Value) -> Vec<Error> {
    let path = Path::new("data");
    let mut faults: Vec<Error> = entries(secret, "data").flat_map(|(key, _)| key_faults(&path.key(key), key)).collect();
    if entries(secret, "data").map(|(_, value)| decoded(value).len()).sum::<usize>() > BYTES_MAX {
        faults.push(Error::too_long(&path, BYTES_MAX));
    }
    let missing = |key: &str| secret["data"][key].is_null();
    let required = |key: &str| Error::required(&path.key(key), "");
    match secret["type"].as_str().unwrap_or("") {
        "kubernetes.io/service-account-token" => {
            if secret["metadata"]["annotations"][ACCOUNT_NAME].as_str().unwrap_or("").is_empty() {
                faults.push(Error::required(&Path::new("metadata").child("annotations").key(ACCOUNT_NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => faults.extend(docker_faults(secret, &path, ".dockercfg")),
        "kubernetes.io/dockerconfigjson" => faults.extend(docker_faults(secret, &path, ".dockerconfigjson")),
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            faults.extend([required("username"), required("password")]);
        }
        "kubernetes.io/ssh-auth" if secret["data"]["ssh-privatekey"].as_str().unwrap_or("").is_empty() => {
            faults.push(required("ssh-privatekey"));
        }
        "kubernetes.io/tls" => faults.extend(["tls.crt", "tls.key"].into_iter().filter(|key| missing(key)).map(required)),
        _ => {}
    }
    faults
}

pub(super) fn validate_secret_update(_: &str, old: &Value, new: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if old["type"] != new["type"] {
        faults.push(Error::invalid(&Path::new("type"), new["type"].clone(), "field is immutable"));
    }
    faults.extend(immutable_faults(old, new, &["data"]));
    faults.extend(validate_secret(new));
    faults
}

fn immutable_faults(old: &Value, new: &Value, fields: &[&str]) -> Vec<Error> {
    if old["immutable"] != true {
        return Vec::new();
    }
    let is_freed = new["immutable"] != true;
    let changed = fields.iter().filter(|field| !entries(old, field).eq(entries(new, field)));
    let freed = is_freed.then_some(&"immutable");
    freed.into_iter().chain(changed).map(|field| Error::forbidden(&Path::new(field), IMMUTABLE_TEXT)).collect()
}

fn docker_faults(secret: &Value, path: &Path, key: &str) -> Option<Error> {
    let value = &secret["data"][key];
    if value.is_null() {
        return Some(Error::required(&path.key(key), ""));
    }
    let parsed = serde_json::from_slice::<serde_json::Map<String, Value>>(&decoded(value));
    parsed.err().map(|fault| Error::invalid(&path.key(key), "<secret contents redacted>", fault.to_string()))
}

fn key_faults(path: &Path, key: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    if key.len() > KEY_LEN_MAX {
        faults.push(format!("must be no more than {KEY_LEN_MAX} characters"));
    }
    if key.is_empty() || !key.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
        faults.push(KEY_TEXT.to_owned());
    }
    match key {
        "." | ".." => faults.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => faults.push("must not start with '..'".to_owned()),
        _ => {}
    }
    faults.into_iter().map(|fault| Error::invalid(path, key, fault)).collect()
}

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object[field].as_object().into_iter().flatten()
}

/// The codec has checked before that it is base64.
fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(faults: Vec<Error>, expected: &[&str]) {
        assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn keys_and_types() {
        check(validate_config_map(&json!({"data": {"a.b-C_1": ""}})), &[]);
        check(
            validate_config_map(&json!({"data": {"": "", "a/b": "", "x": ""}, "binaryData": {"x": ""}})),
            &["data[]", "data[a/b]", "data[x]"],
        );
        check(validate_secret(&json!({"data": {"": "dmFsdWU="}})), &["data[]"]);
        check(validate_secret(&json!({"data": {"..a": ""}})), &["data[..a]"]);
        check(validate_secret(&json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})), &["data[tls.key]"]);
        check(validate_secret(&json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "e30="}})), &[]);
        check(validate_secret(&json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "eA=="}})), &["data[.dockercfg]"]);
    }

    #[test]
    fn immutable_stays() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        check(validate_config_map_update("", &old, &old), &[]);
        check(validate_config_map_update("", &old, &json!({"data": {"a": "2"}})), &["immutable", "data"]);
        check(validate_secret_update("", &json!({"type": "Opaque"}), &json!({"type": "a/b"})), &["type"]);
        check(validate_secret_update("", &json!({}), &json!({"immutable": true, "data": {"a": ""}})), &[]);
    }
}
