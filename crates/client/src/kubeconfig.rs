//! Reading a kubeconfig as far as a connection needs it: servers, CA, client certificate or token, each inline or in a file.
//!
//! Exec plugins and auth providers are refused by name.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use object::Value;

use crate::transport::Error;

/// How to reach and convince one cluster; certificates and keys are PEM.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Tried in turn: `https://host:port`.
    pub servers: Vec<String>,
    pub ca: Option<Vec<u8>>,
    pub tls_server_name: Option<String>,
    pub is_insecure: bool,
    pub credentials: Credentials,
    /// The context's namespace.
    pub namespace: String,
}

#[derive(Clone, Default)]
pub enum Credentials {
    #[default]
    Anonymous,
    Certificate(pki::Identity),
    Token(String),
    /// Read again whenever a connection is made, for such tokens rotate.
    TokenFile(PathBuf),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Anonymous => "Anonymous",
            Credentials::Certificate(_) => "Certificate(…)",
            Credentials::Token(_) => "Token(…)",
            Credentials::TokenFile(_) => "TokenFile(…)",
        })
    }
}

/// Reads a kubeconfig file and resolves one of its contexts, the current one when none is named.
pub fn read(file: &Path, context: Option<&str>) -> Result<Target, Error> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::caused(format!("cannot read kubeconfig `{}`", file.display()), e))?;
    parse(&text, file.parent().unwrap_or(Path::new("")), context)
        .map_err(|e| Error::caused(format!("cannot use kubeconfig `{}`", file.display()), e))
}

/// `folder` is where relative paths in the file start.
pub fn parse(text: &str, folder: &Path, context: Option<&str>) -> Result<Target, Error> {
    let config: Value = serde_saphyr::from_str(text).map_err(|e| Error::caused("it is no YAML", e.to_string()))?;
    let context_name = context.or(config["current-context"].as_str()).unwrap_or("");
    let context = &named(&config, "contexts", context_name)?["context"];
    let cluster = &named(&config, "clusters", context["cluster"].as_str().unwrap_or(""))?["cluster"];
    let user = match context["user"].as_str() {
        Some(name) if !name.is_empty() => &named(&config, "users", name)?["user"],
        _ => &Value::Null,
    };
    let server = cluster["server"].as_str().ok_or_else(|| Error::transport("the cluster has no `server`"))?;
    Ok(Target {
        servers: vec![server.to_owned()],
        ca: material(cluster, "certificate-authority", folder)?,
        tls_server_name: cluster["tls-server-name"].as_str().map(str::to_owned),
        is_insecure: cluster["insecure-skip-tls-verify"] == Value::Bool(true),
        credentials: credentials(user, folder)?,
        namespace: context["namespace"].as_str().unwrap_or("default").to_owned(),
    })
}

fn named<'a>(config: &'a Value, list: &str, name: &str) -> Result<&'a Value, Error> {
    let entries = config[list].as_array().into_iter().flatten();
    entries.into_iter().find(|e| e["name"] == name).ok_or_else(|| Error::transport(format!("it has no entry `{name}` in `{list}`")))
}

fn credentials(user: &Value, folder: &Path) -> Result<Credentials, Error> {
    for plugin in ["exec", "auth-provider"] {
        if !user[plugin].is_null() {
            return Err(Error::transport(format!("users with `{plugin}` are not supported")));
        }
    }
    if let Some(token) = user["token"].as_str() {
        return Ok(Credentials::Token(token.to_owned()));
    }
    if let Some(file) = user["tokenFile"].as_str() {
        return Ok(Credentials::TokenFile(folder.join(file)));
    }
    match (material(user, "client-certificate", folder)?, material(user, "client-key", folder)?) {
        (Some(chain), Some(key)) => {
            let [certificate_pem, key_pem] = [chain, key].map(|pem| String::from_utf8_lossy(&pem).into_owned());
            let identity = pki::Identity::new(&pki::KeyPair { certificate_pem, key_pem });
            identity.map(Credentials::Certificate).map_err(|e| Error::caused("the client certificate or key is not usable", e))
        }
        (None, None) => Ok(Credentials::Anonymous),
        _ => Err(Error::transport("the user has only one of `client-certificate` and `client-key`")),
    }
}

/// `<field>-data` holds base64, `<field>` a path; the first wins.
fn material(entry: &Value, field: &str, folder: &Path) -> Result<Option<Vec<u8>>, Error> {
    if let Some(data) = entry[format!("{field}-data")].as_str().filter(|data| !data.is_empty()) {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim());
        return bytes.map(Some).map_err(|e| Error::caused(format!("`{field}-data` is no base64"), e));
    }
    match entry[field].as_str().filter(|path| !path.is_empty()) {
        None => Ok(None),
        Some(path) => {
            let path = folder.join(path);
            std::fs::read(&path).map(Some).map_err(|e| Error::caused(format!("cannot read `{}`", path.display()), e))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_context_is_resolved() {
        let text = "
current-context: b
clusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443', certificate-authority-data: Y2E=}}]
contexts: [{name: a, context: {cluster: c, user: plugin}}, {name: b, context: {cluster: c, user: u, namespace: chat}}]
users: [{name: u, user: {token: t}}, {name: plugin, user: {exec: {command: x}}}]
";
        let target = parse(text, Path::new("/"), None).unwrap();
        assert_eq!(
            (target.servers[0].as_str(), target.ca.as_deref(), target.namespace.as_str()),
            ("https://10.0.0.1:6443", Some(&b"ca"[..]), "chat")
        );
        assert!(matches!(&target.credentials, Credentials::Token(t) if t == "t"));
        assert!(parse(text, Path::new("/"), Some("a")).unwrap_err().to_string().contains("`exec`"));
        assert!(parse(text, Path::new("/"), Some("z")).unwrap_err().to_string().contains("no entry `z`"));
    }
}
