//! Which objects lead to which node, kept up by `upsert` and `remove`.

use std::collections::{BTreeSet, HashMap};

use object::key::GroupVersionKind;
use object::meta;
use serde_json::Value;

use super::references::{self, Target};

type Key = (String, String);

#[derive(Debug, Default)]
pub struct NodeGraph {
    pods: HashMap<Key, BoundPod>,
    /// What pods refer to, and by how many pods of each node.
    referenced: HashMap<(Target, Key), HashMap<String, usize>>,
    volumes: HashMap<String, BoundVolume>,
    /// The volumes that let a secret be read.
    secret_volumes: HashMap<Key, BTreeSet<String>>,
    /// Objects that name their node themselves.
    direct: HashMap<(Target, Key), String>,
}

#[derive(Debug)]
struct BoundPod {
    node: String,
    fingerprint: Fingerprint,
    references: Vec<(Target, String)>,
}

/// The parts of a bound pod whose change can change its references.
#[derive(Debug, PartialEq)]
struct Fingerprint {
    uid: String,
    n_ephemeral_containers: usize,
    claim_statuses: [Value; 2],
}

#[derive(Debug)]
struct BoundVolume {
    claim: Key,
    secrets: Vec<Key>,
}

impl NodeGraph {
    /// Takes in a Pod, PersistentVolume, VolumeAttachment, ResourceSlice or PodCertificateRequest; other kinds are ignored.
    pub fn upsert(&mut self, object: &Value) {
        let key = (meta::namespace(object).to_owned(), meta::name(object).to_owned());
        let node = object["spec"]["nodeName"].as_str().unwrap_or("");
        match object["kind"].as_str().unwrap_or("") {
            "Pod" if !node.is_empty() => self.upsert_pod(key, node, object),
            "PersistentVolume" => self.upsert_volume(key.1, object),
            "VolumeAttachment" => self.set_direct(Target::VolumeAttachment, key, node),
            "ResourceSlice" => self.set_direct(Target::ResourceSlice, key, node),
            "PodCertificateRequest" => self.set_direct(Target::PodCertificateRequest, key, node),
            _ => {}
        }
    }

    pub fn remove(&mut self, kind: &GroupVersionKind, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        match kind.kind.as_str() {
            "Pod" => self.remove_pod(&key),
            "PersistentVolume" => self.remove_volume(name),
            "VolumeAttachment" => self.set_direct(Target::VolumeAttachment, key, ""),
            "ResourceSlice" => self.set_direct(Target::ResourceSlice, key, ""),
            "PodCertificateRequest" => self.set_direct(Target::PodCertificateRequest, key, ""),
            _ => {}
        }
    }

    pub(super) fn is_related(&self, node: &str, target: Target, namespace: &str, name: &str) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        match target {
            Target::Pod => self.pods.get(&key).is_some_and(|pod| pod.node == node),
            Target::Volume => self.is_volume_related(node, name),
            Target::VolumeAttachment | Target::ResourceSlice | Target::PodCertificateRequest => {
                self.direct.get(&(target, key)).is_some_and(|n| n == node)
            }
            Target::Secret => {
                let volumes = self.secret_volumes.get(&key).into_iter().flatten();
                volumes.into_iter().any(|volume| self.is_volume_related(node, volume)) || self.is_referenced(node, target, key)
            }
            _ => self.is_referenced(node, target, key),
        }
    }

    fn is_referenced(&self, node: &str, target: Target, key: Key) -> bool {
        self.referenced.get(&(target, key)).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn is_volume_related(&self, node: &str, volume: &str) -> bool {
        self.volumes.get(volume).is_some_and(|v| self.is_referenced(node, Target::Claim, v.claim.clone()))
    }

    fn upsert_pod(&mut self, key: Key, node: &str, pod: &Value) {
        let status = &pod["status"];
        let fingerprint = Fingerprint {
            uid: meta::uid(pod).to_owned(),
            n_ephemeral_containers: pod["spec"]["ephemeralContainers"].as_array().map_or(0, Vec::len),
            claim_statuses: [status["resourceClaimStatuses"].clone(), status["extendedResourceClaimStatus"].clone()],
        };
        if self.pods.get(&key).is_some_and(|known| known.node == node && known.fingerprint == fingerprint) {
            return;
        }
        self.remove_pod(&key);
        let references = references::of_pod(pod);
        for (target, name) in &references {
            let nodes = self.referenced.entry((*target, (key.0.clone(), name.clone()))).or_default();
            *nodes.entry(node.to_owned()).or_default() += 1;
        }
        self.pods.insert(key, BoundPod { node: node.to_owned(), fingerprint, references });
    }

    fn remove_pod(&mut self, key: &Key) {
        let Some(pod) = self.pods.remove(key) else { return };
        for (target, name) in pod.references {
            let place = (target, (key.0.clone(), name));
            let Some(nodes) = self.referenced.get_mut(&place) else { continue };
            if let Some(count) = nodes.get_mut(&pod.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&pod.node);
                }
            }
            if nodes.is_empty() {
                self.referenced.remove(&place);
            }
        }
    }

    fn upsert_volume(&mut self, name: String, volume: &Value) {
        self.remove_volume(&name);
        let Some(claim) = references::claim_of_volume(volume) else { return };
        let secrets = references::secrets_of_volume(volume);
        for secret in &secrets {
            self.secret_volumes.entry(secret.clone()).or_default().insert(name.clone());
        }
        self.volumes.insert(name, BoundVolume { claim, secrets });
    }

    fn remove_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else { return };
        for secret in volume.secrets {
            if let Some(volumes) = self.secret_volumes.get_mut(&secret) {
                volumes.remove(name);
                if volumes.is_empty() {
                    self.secret_volumes.remove(&secret);
                }
            }
        }
    }

    fn set_direct(&mut self, target: Target, key: Key, node: &str) {
        if node.is_empty() {
            self.direct.remove(&(target, key));
        } else {
            self.direct.insert((target, key), node.to_owned());
        }
    }
}
