//! `DATA_DIR/registries.yaml`: mirrors, logins and authorities for registries, in the form k3s users know.
//!
//! ```yaml
//! mirrors:
//!   docker.io: {endpoint: ["https://mirror.example", "http://10.0.0.5:5000"]}   # in this order, then docker.io itself
//!   "*":       {endpoint: ["http://10.0.0.5:5000"]}                            # registries that are not named
//! configs:
//!   registry.example: {auth: {username: me, password: secret}}
//!   mirror.example:   {tls: {ca_file: /etc/ssl/mine.pem}}
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_image::{Credentials, Registries};
use serde::Deserialize;

use crate::failure::Failure;
use crate::options::Place;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mirrors: BTreeMap<String, Mirror>,
    #[serde(default)]
    configs: BTreeMap<String, Config>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    endpoint: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    auth: Option<Login>,
    tls: Option<Tls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca_file: PathBuf,
}

/// What the file says; without one, every registry is asked directly.
pub(crate) fn load(place: &Place) -> Result<Registries, Failure> {
    let path = place.registries_file();
    match std::fs::read_to_string(&path) {
        Ok(text) => read(&text).map_err(|why| Failure::new(format!("`{}`: {why}", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Registries::new(BTreeMap::new(), Vec::new(), None)),
        Err(e) => Err(Failure::caused(format!("cannot read `{}`", path.display()), &e)),
    }
}

pub(crate) fn read(text: &str) -> Result<Registries, String> {
    let document = codec::yaml::parse(text).map_err(|e| e.to_string())?;
    let file: File = if document.is_null() { File::default() } else { serde_json::from_value(document).map_err(|e| e.to_string())? };
    let mut authorities = String::new();
    let mut logins = Vec::new();
    for (host, config) in file.configs {
        if let Some(Tls { ca_file }) = config.tls {
            authorities.push_str(&authority(&ca_file)?);
        }
        logins.extend(config.auth.map(|Login { username, password }| Credentials { host, username, password }));
    }
    let mut mirrors = BTreeMap::new();
    for (host, Mirror { endpoint }) in file.mirrors {
        if let Some(bad) = endpoint.iter().find(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(format!("mirrors: {host}: endpoint `{bad}` is not an http:// or https:// URL"));
        }
        mirrors.insert(host, endpoint);
    }
    Ok(Registries::new(mirrors, logins, (!authorities.is_empty()).then_some(&authorities)))
}

fn authority(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("ca_file `{}`: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let found = read(text).map(drop);
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(expected)) if found.contains(expected) => {}
            _ => panic!("{text}\n{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn mistakes_are_told() {
        check("", Ok(()));
        check(
            "mirrors: {docker.io: {endpoint: ['http://10.0.0.5:5000']}}\nconfigs: {a.example: {auth: {username: me, password: x}}}",
            Ok(()),
        );
        check("mirrors: {docker.io: {endpoint: [10.0.0.5]}}", Err("endpoint `10.0.0.5` is not an http"));
        check("mirror: {}", Err("unknown field `mirror`"));
        check("configs: {a: {auth: {username: me}}}", Err("missing field `password`"));
        check("configs: {a: {tls: {ca_file: /no/such.pem}}}", Err("ca_file `/no/such.pem`"));
        check("mirrors: [", Err(""));
    }
}
