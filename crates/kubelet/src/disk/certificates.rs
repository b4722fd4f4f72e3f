//! Certificates of pods: asked for by a PodCertificateRequest, kept with their keys, renewed when their signer says so.
//!
//! Invariant: a private key is never stored; after a restart the pod gets a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use client::{Api, Client};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use k8s_openapi::api::core::v1::{Node, PodCertificateProjection, ServiceAccount};
use object::key::ObjectKey;
use object::time::Clock;
use pod_plan::pod::BoundPod;
use pod_plan::trust::clean_chain;
use pod_plan::volume_files::Credentials;
use serde_json::json;

use crate::lock::locked;
use crate::objects::ObjectSource;

/// Renewals of pods that began together are spread over this.
const SPREAD_SECONDS: u64 = 300;

pub(super) struct Certificates {
    client: Client,
    clock: Clock,
    node_name: String,
    /// By pod, then volume and position of the source in it.
    kept: Mutex<HashMap<String, HashMap<(String, usize), Kept>>>,
}

#[derive(Clone, Default)]
struct Kept {
    /// What is in force.
    issued: Option<(Credentials, Timestamp)>,
    /// What is asked for: the new key and the request's name.
    asked: Option<(String, String)>,
    /// The signer said no; that is for good.
    refused: Option<String>,
}

/// Credentials by the position of their source, and when the first of them is to be renewed.
type OfVolume = (BTreeMap<usize, Result<Credentials, String>>, Option<Timestamp>);

pub(super) fn sources(pod: &BoundPod) -> impl Iterator<Item = (&str, usize, &PodCertificateProjection)> {
    pod.spec.volumes.iter().flatten().flat_map(|volume| {
        let sources = volume.projected.iter().filter_map(|p| p.sources.as_ref()).flatten().enumerate();
        sources.filter_map(|(position, source)| Some((volume.name.as_str(), position, source.pod_certificate.as_ref()?)))
    })
}

impl Certificates {
    pub(super) fn new(client: &Client, clock: Clock, node_name: &str) -> Self {
        Certificates { client: client.clone(), clock, node_name: node_name.to_owned(), kept: Mutex::default() }
    }

    pub(super) fn forget(&self, pod_uid: &str) {
        locked(&self.kept).remove(pod_uid);
    }

    /// Asks for what is missing or to be renewed, and takes in what was answered since.
    pub(super) async fn look(&self, pod: &BoundPod, objects: &ObjectSource) -> Result<(), String> {
        for (volume, position, source) in sources(pod) {
            let at = (volume.to_owned(), position);
            let mut kept = locked(&self.kept).get(&pod.uid).and_then(|of_pod| of_pod.get(&at).cloned()).unwrap_or_default();
            let is_due = kept.issued.as_ref().is_none_or(|(_, renew_at)| *renew_at <= self.clock.now());
            if let Some((key, name)) = kept.asked.take() {
                let request = objects.certificate_request(&ObjectKey::new(&pod.namespace, &name)).await;
                match request.map_err(|e| format!("while getting PodCertificateRequest \"{}/{name}\": {e}", pod.namespace))? {
                    Some(request) => kept.take_in(&request, key, name, spread(&pod.uid)),
                    None => tracing::debug!(name, "a request for a certificate is gone; another is made"),
                }
            } else if kept.refused.is_none() && is_due {
                // Its answer is not looked for at once: the watch of this node's requests tells.
                kept.asked = Some(self.ask(pod, source).await?);
            }
            locked(&self.kept).entry(pod.uid.clone()).or_default().insert(at, kept);
        }
        Ok(())
    }

    pub(super) fn of_volume(&self, pod: &BoundPod, volume: &str) -> OfVolume {
        let kept = locked(&self.kept);
        let of_volume = kept.get(&pod.uid).into_iter().flatten().filter(|((name, _), _)| name == volume);
        let mut credentials = BTreeMap::new();
        let mut renew_at: Option<Timestamp> = None;
        for ((_, position), kept) in of_volume {
            if let Some(why) = &kept.refused {
                credentials.insert(*position, Err(why.clone()));
            } else if let Some((issued, at)) = &kept.issued {
                credentials.insert(*position, Ok(issued.clone()));
                renew_at = Some(renew_at.map_or(*at, |earlier| earlier.min(*at)));
            }
        }
        (credentials, renew_at)
    }

    async fn ask(&self, pod: &BoundPod, source: &PodCertificateProjection) -> Result<(String, String), String> {
        let account = pod.spec.service_account_name.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
        let of_account = Api::<ServiceAccount>::new(&self.client).get(&ObjectKey::new(&pod.namespace, account)).await;
        let of_account = of_account.map_err(|e| format!("while fetching service account: {e}"))?;
        let node = Api::<Node>::new(&self.client).get(&ObjectKey::cluster(&self.node_name)).await;
        let node = node.map_err(|e| format!("while getting node object: {e}"))?;
        let (key, proof) = pki::proof_of_key(&source.key_type).map_err(|e| format!("while generating keypair: {e}"))?;
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": {
                "namespace": pod.namespace, "generateName": "req-",
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}],
            },
            "spec": {
                "signerName": source.signer_name,
                "podName": pod.name, "podUID": pod.uid,
                "serviceAccountName": account, "serviceAccountUID": of_account.metadata.uid,
                "nodeName": self.node_name, "nodeUID": node.metadata.uid,
                "maxExpirationSeconds": source.max_expiration_seconds,
                "stubPKCS10Request": k8s_openapi::ByteString(proof),
                "unverifiedUserAnnotations": source.user_annotations,
            },
        });
        let path = format!("/apis/certificates.k8s.io/v1/namespaces/{}/podcertificaterequests", pod.namespace);
        let made: PodCertificateRequest = self.client.create(&path, &request).await.map_err(|e| format!("while creating on API: {e}"))?;
        Ok((key, made.metadata.name.unwrap_or_default()))
    }
}

impl Kept {
    fn take_in(&mut self, request: &PodCertificateRequest, key: String, name: String, spread: SignedDuration) {
        let status = request.status.clone().unwrap_or_default();
        let refused = |word: &str, c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            format!("PodCertificateRequest was permanently {word}: reason={:?} message={:?}", c.reason, c.message)
        };
        for condition in status.conditions.iter().flatten() {
            match condition.type_.as_str() {
                "Denied" => self.refused = Some(refused("denied", condition)),
                "Failed" => self.refused = Some(refused("failed", condition)),
                "Issued" => {
                    let chain = clean_chain(status.certificate_chain.as_deref().unwrap_or_default());
                    let renew_at =
                        status.begin_refresh_at.as_ref().map_or(Timestamp::MAX, |at| at.0.saturating_add(spread).unwrap_or(at.0));
                    self.issued = Some((Credentials { key, chain }, renew_at));
                    return;
                }
                _ => continue,
            }
            return;
        }
        self.asked = Some((key, name));
    }
}

/// The same for a pod at every renewal, different between pods.
fn spread(pod_uid: &str) -> SignedDuration {
    let sum = pod_uid.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    SignedDuration::from_secs((sum % SPREAD_SECONDS).cast_signed())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_signers_answer() {
        let check = |status: Value, expected: &str| {
            let object = json!({"metadata": {"name": "r"}, "spec": {
                "signerName": "x/y", "podName": "p", "podUID": "u", "serviceAccountName": "s", "serviceAccountUID": "u",
                "nodeName": "n", "nodeUID": "u", "stubPKCS10Request": "",
            }, "status": status});
            let request: PodCertificateRequest = serde_json::from_value(object).unwrap();
            let mut kept = Kept::default();
            kept.take_in(&request, "key".to_owned(), "r".to_owned(), SignedDuration::from_secs(5));
            let shown = match (&kept.issued, &kept.refused, &kept.asked) {
                (Some((credentials, at)), None, None) => format!("{} from {at}", credentials.key),
                (None, Some(why), None) => why.clone(),
                (None, None, Some((_, name))) => format!("waits for {name}"),
                _ => "confused".to_owned(),
            };
            assert_eq!(shown, expected, "{status}");
        };
        let condition = |word: &str| {
            json!({"conditions": [{"type": word, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "beginRefreshAt": "2026-01-02T00:00:00Z", "certificateChain": ""})
        };
        check(json!({}), "waits for r");
        check(condition("Denied"), "PodCertificateRequest was permanently denied: reason=\"R\" message=\"m\"");
        check(condition("Failed"), "PodCertificateRequest was permanently failed: reason=\"R\" message=\"m\"");
        check(condition("Issued"), "key from 2026-01-02T00:00:05Z");
    }
}
