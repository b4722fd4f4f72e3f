//! Entering a cluster into the user's kubeconfig, and taking it out again, without touching anything else in the file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::failure::Failure;

/// What kubectl needs to reach a cluster as its administrator.
pub(crate) struct Access<'a> {
    pub(crate) server: String,
    pub(crate) ca_pem: &'a str,
    pub(crate) client: &'a pki::KeyPair,
}

/// A kubeconfig that holds only this cluster.
pub(crate) fn document(context: &str, access: &Access<'_>) -> Value {
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": access.server, "certificate-authority-data": base64(access.ca_pem)}}],
        "users": [{"name": context, "user": {
            "client-certificate-data": base64(&access.client.certificate_pem),
            "client-key-data": base64(&access.client.key_pem),
        }}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    })
}

/// Puts the entries of `document` into the file at `path` and makes its context the current one.
pub(crate) fn merge(path: &Path, document: &Value) -> Result<(), Failure> {
    let mut config = read(path)?;
    for list in ["clusters", "users", "contexts"] {
        for entry in document[list].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap_or("");
            let entries = entries(&mut config, list);
            entries.retain(|e| e["name"] != name);
            entries.push(entry.clone());
        }
    }
    config["current-context"] = document["current-context"].clone();
    write(path, &config)
}

/// Takes the entries named `context` out of the file, if it is there.
pub(crate) fn remove(path: &Path, context: &str) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let mut config = read(path)?;
    let before = config.clone();
    for list in ["clusters", "users", "contexts"] {
        entries(&mut config, list).retain(|e| e["name"] != context);
    }
    if config["current-context"] == context {
        config["current-context"] = json!("");
    }
    if config == before { Ok(()) } else { write(path, &config) }
}

fn entries<'a>(config: &'a mut Value, list: &str) -> &'a mut Vec<Value> {
    if !config[list].is_array() {
        config[list] = json!([]);
    }
    config[list].as_array_mut().expect("made a list above")
}

fn read(path: &Path) -> Result<Value, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Failure::caused(format!("cannot read the kubeconfig `{}`", path.display()), &e)),
    };
    if text.trim().is_empty() {
        return Ok(json!({"apiVersion": "v1", "kind": "Config", "preferences": {}}));
    }
    match codec::yaml::parse(&text) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Failure::new(format!("the kubeconfig `{}` is not a map", path.display())).hint("--kubeconfig FILE")),
        Err(e) => Err(Failure::new(format!("the kubeconfig `{}` is not YAML: {e}", path.display())).hint("--kubeconfig FILE")),
    }
}

fn write(path: &Path, config: &Value) -> Result<(), Failure> {
    pki::write_private(path, &codec::yaml::write(config)).map_err(|e| Failure::caused("cannot write the kubeconfig", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_entries_stay() {
        let dir = std::env::temp_dir().join(format!("coracle-kubeconfig-{}", std::process::id()));
        let path = dir.join("config");
        fs::create_dir_all(&dir).unwrap();
        fs::write(&path, "apiVersion: v1\nkind: Config\ncurrent-context: theirs\nusers:\n- name: theirs\n  user: {token: x}\n").unwrap();
        let pair = pki::KeyPair { certificate_pem: "c".into(), key_pem: "k".into() };
        let ours = document("coracle", &Access { server: "https://127.0.0.1:6443".into(), ca_pem: "ca", client: &pair });
        merge(&path, &ours).ok().unwrap();
        merge(&path, &ours).ok().unwrap();
        let merged = read(&path).ok().unwrap();
        assert_eq!(merged["users"].as_array().unwrap().len(), 2);
        assert_eq!(merged["current-context"], "coracle");
        remove(&path, "coracle").ok().unwrap();
        let left = read(&path).ok().unwrap();
        assert_eq!((left["users"].as_array().unwrap().len(), left["current-context"].as_str()), (1, Some("")));
        fs::remove_dir_all(&dir).unwrap();
    }
}
