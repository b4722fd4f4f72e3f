//! The config maps, secrets and trust bundles a pod refers to: which it needs, and how they are handed to the pure parts.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret, Volume};

use crate::pod::BoundPod;

/// What was fetched; an object that is not there is `None`.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub config_maps: BTreeMap<String, Option<std::sync::Arc<ConfigMap>>>,
    pub secrets: BTreeMap<String, Option<std::sync::Arc<Secret>>>,
    /// All that the cluster has, when one is referred to: selectors choose among them.
    pub trust_bundles: Vec<std::sync::Arc<ClusterTrustBundle>>,
}

impl Objects {
    /// The text of a failure is the one upstream shows.
    pub fn config_map(&self, name: &str) -> Result<&ConfigMap, String> {
        self.config_maps.get(name).and_then(Option::as_deref).ok_or_else(|| format!("configmap {name:?} not found"))
    }
    pub fn secret(&self, name: &str) -> Result<&Secret, String> {
        self.secrets.get(name).and_then(Option::as_deref).ok_or_else(|| format!("secret {name:?} not found"))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    pub config_maps: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
    pub trust_bundles: bool,
}

/// What the variables of one container come from.
pub fn of_environment(container: &Container) -> References {
    let mut names = References::default();
    for from in container.env_from.iter().flatten() {
        names.config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
        names.secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        names.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
        names.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
    }
    names
}

/// What the files of a volume come from.
pub fn of_volume(volume: &Volume) -> References {
    let mut names = References::default();
    names.config_maps.extend(volume.config_map.iter().map(|v| v.name.clone()));
    names.secrets.extend(volume.secret.iter().filter_map(|v| v.secret_name.clone()));
    for source in volume.projected.iter().filter_map(|p| p.sources.as_ref()).flatten() {
        names.config_maps.extend(source.config_map.iter().map(|v| v.name.clone()));
        names.secrets.extend(source.secret.iter().map(|v| v.name.clone()));
        names.trust_bundles |= source.cluster_trust_bundle.is_some();
    }
    names
}

pub fn of_volumes(pod: &BoundPod) -> References {
    let mut names = References::default();
    for volume in pod.spec.volumes.iter().flatten() {
        let more = of_volume(volume);
        names.config_maps.extend(more.config_maps);
        names.secrets.extend(more.secrets);
        names.trust_bundles |= more.trust_bundles;
    }
    names
}
