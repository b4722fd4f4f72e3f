//! The files of configMap, secret, downwardAPI and projected volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, PodCertificateProjection, Secret, ServiceAccountTokenProjection, Volume,
};

use crate::field_value::{self, Surroundings};
use crate::pod::BoundPod;
use crate::references::Objects;
use crate::trust;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
}

/// By path within the volume.
pub type Files = BTreeMap<String, File>;

/// Upstream's `defaultMode` of all four kinds.
const MODE: u32 = 0o644;

/// The tokens a volume asks for, by the path they are written to.
pub fn token_requests(volume: &Volume) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let sources = volume.projected.iter().filter_map(|p| p.sources.as_ref()).flatten();
    sources.filter_map(|s| s.service_account_token.as_ref())
}

/// What a projected volume shows of the pod's own identity, fetched beforehand.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Service account tokens, by path.
    pub tokens: BTreeMap<String, String>,
    /// Certificates, by the position of their source.
    pub certificates: BTreeMap<usize, Result<Credentials, String>>,
}

/// A private key and the chain of certificates for it, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub key: String,
    pub chain: String,
}

/// `None` for volumes that are not made of such files.
pub fn files(
    pod: &BoundPod,
    volume: &Volume,
    objects: &Objects,
    identity: &Identity,
    around: &Surroundings,
) -> Option<Result<Files, String>> {
    let mode = |mode: Option<i32>| mode.map_or(MODE, |m| m as u32 & 0o777);
    if let Some(source) = &volume.config_map {
        let is_optional = source.optional == Some(true);
        return Some(of_config_map(objects, &source.name, source.items.as_deref(), mode(source.default_mode), is_optional));
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return Some(of_secret(objects, name, source.items.as_deref(), mode(source.default_mode), source.optional == Some(true)));
    }
    if let Some(source) = &volume.downward_api {
        return Some(of_downward_api(pod, source.items.as_deref().unwrap_or_default(), mode(source.default_mode), around));
    }
    let projected = volume.projected.as_ref()?;
    let default_mode = mode(projected.default_mode);
    let mut all = Files::new();
    let mut failures = Vec::new();
    for (position, source) in projected.sources.iter().flatten().enumerate() {
        let part = if let Some(source) = &source.config_map {
            of_config_map(objects, &source.name, source.items.as_deref(), default_mode, source.optional == Some(true))
        } else if let Some(source) = &source.secret {
            of_secret(objects, &source.name, source.items.as_deref(), default_mode, source.optional == Some(true))
        } else if let Some(source) = &source.downward_api {
            of_downward_api(pod, source.items.as_deref().unwrap_or_default(), default_mode, around)
        } else if let Some(source) = &source.service_account_token {
            of_token(pod, source, &identity.tokens, default_mode)
        } else if let Some(source) = &source.cluster_trust_bundle {
            let file = |content| File { content, mode: private_mode(pod, default_mode) };
            trust::anchors(&objects.trust_bundles, source).map(|anchors| Files::from([(source.path.clone(), file(anchors.into_bytes()))]))
        } else if let Some(source) = &source.pod_certificate {
            of_certificate(source, identity.certificates.get(&position), private_mode(pod, default_mode))
        } else {
            Ok(Files::new())
        };
        match part {
            Ok(files) => all.extend(files),
            Err(text) => failures.push(text),
        }
    }
    Some(match failures.as_slice() {
        [] => Ok(all),
        [only] => Err(only.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    })
}

fn of_config_map(objects: &Objects, name: &str, items: Option<&[KeyToPath]>, mode: u32, is_optional: bool) -> Result<Files, String> {
    let empty = ConfigMap::default();
    let map = match objects.config_map(name) {
        Err(_) if is_optional => &empty,
        found => found?,
    };
    let content = |key: &str| {
        let text = map.data.as_ref().and_then(|d| d.get(key)).map(|t| t.clone().into_bytes());
        text.or_else(|| map.binary_data.as_ref()?.get(key).map(|b| b.0.clone()))
    };
    let keys = map.data.iter().flat_map(|d| d.keys()).chain(map.binary_data.iter().flat_map(|d| d.keys()));
    let missing = |key: &str| format!("configmap references non-existent config key: {key}");
    keyed(keys, &content, items, mode, is_optional, &missing)
}

fn of_secret(objects: &Objects, name: &str, items: Option<&[KeyToPath]>, mode: u32, is_optional: bool) -> Result<Files, String> {
    let empty = Secret::default();
    let secret = match objects.secret(name) {
        Err(_) if is_optional => &empty,
        found => found?,
    };
    let content = |key: &str| secret.data.as_ref()?.get(key).map(|b| b.0.clone());
    let missing = |key: &str| format!("references non-existent secret key: {key}");
    keyed(secret.data.iter().flat_map(|d| d.keys()), &content, items, mode, is_optional, &missing)
}

fn keyed<'a>(
    keys: impl Iterator<Item = &'a String>,
    content: &dyn Fn(&str) -> Option<Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: u32,
    is_optional: bool,
    missing: &dyn Fn(&str) -> String,
) -> Result<Files, String> {
    let items = items.unwrap_or_default();
    if items.is_empty() {
        return Ok(keys.filter_map(|key| Some((key.clone(), File { content: content(key)?, mode }))).collect());
    }
    let mut files = Files::new();
    for item in items {
        match content(&item.key) {
            Some(content) => {
                let mode = item.mode.map_or(mode, |m| m as u32 & 0o777);
                files.insert(item.path.clone(), File { content, mode });
            }
            None if is_optional => {}
            None => return Err(missing(&item.key)),
        }
    }
    Ok(files)
}

fn of_downward_api(pod: &BoundPod, items: &[DownwardAPIVolumeFile], mode: u32, around: &Surroundings) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            field_value::field(pod, &field.field_path, around)?
        } else if let Some(selector) = &item.resource_field_ref {
            field_value::resource(pod, None, selector, around)?
        } else {
            String::new()
        };
        let mode = item.mode.map_or(mode, |m| m as u32 & 0o777);
        files.insert(item.path.clone(), File { content: text.into_bytes(), mode });
    }
    Ok(files)
}

fn of_token(pod: &BoundPod, source: &ServiceAccountTokenProjection, tokens: &BTreeMap<String, String>, mode: u32) -> Result<Files, String> {
    let token = tokens.get(&source.path).ok_or_else(|| format!("no token for {}", source.path))?;
    Ok(Files::from([(source.path.clone(), File { content: token.clone().into_bytes(), mode: private_mode(pod, mode) })]))
}

fn of_certificate(
    source: &PodCertificateProjection,
    credentials: Option<&Result<Credentials, String>>,
    mode: u32,
) -> Result<Files, String> {
    let Credentials { key, chain } = credentials.ok_or("credential bundle is not issued yet")?.as_ref().map_err(Clone::clone)?;
    let files = [
        (&source.credential_bundle_path, format!("{key}{chain}")),
        (&source.key_path, key.clone()),
        (&source.certificate_chain_path, chain.clone()),
    ];
    let asked = files.into_iter().filter_map(|(path, text)| Some((path.clone().filter(|p| !p.is_empty())?, text)));
    Ok(asked.map(|(path, text)| (path, File { content: text.into_bytes(), mode })).collect())
}

/// With an fsGroup the volume's ownership opens it to the group.
fn private_mode(pod: &BoundPod, mode: u32) -> u32 {
    let has_group = pod.spec.security_context.as_ref().is_some_and(|c| c.fs_group.is_some());
    if has_group { 0o600 } else { mode }
}
