//! What every namespace has: the service account `default`, and the root CA that its pods trust.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::plan::{Change, Plan};

pub const DEFAULT_ACCOUNT: &str = "default";
pub const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

fn is_alive(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|s| s.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

fn metadata(namespace: &Namespace, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: namespace.metadata.name.clone(), ..ObjectMeta::default() }
}

/// The account that pods run as unless they name another.
pub fn plan_account(namespace: &Namespace, kept: Option<&ServiceAccount>) -> Plan {
    if !is_alive(namespace) || kept.is_some() {
        return Plan::nothing();
    }
    let account = ServiceAccount { metadata: metadata(namespace, DEFAULT_ACCOUNT), ..ServiceAccount::default() };
    Plan { changes: vec![Change::create(&account)], ..Plan::nothing() }
}

/// `root_ca` is PEM.
pub fn plan_root_ca(namespace: &Namespace, kept: Option<&ConfigMap>, root_ca: &str) -> Plan {
    if !is_alive(namespace) {
        return Plan::nothing();
    }
    let data = Some(BTreeMap::from([("ca.crt".to_owned(), root_ca.to_owned())]));
    let description = ("kubernetes.io/description".to_owned(), ROOT_CA_TEXT.to_owned());
    let change = match kept {
        Some(kept) if kept.data == data && kept.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(&description.0)) => None,
        Some(kept) => {
            let mut wanted = ConfigMap { data, ..kept.clone() };
            wanted.metadata.annotations.get_or_insert_default().insert(description.0, description.1);
            Some(Change::update(&wanted))
        }
        None => {
            let mut metadata = metadata(namespace, ROOT_CA);
            metadata.annotations = Some(BTreeMap::from([description]));
            Some(Change::create(&ConfigMap { metadata, data, ..ConfigMap::default() }))
        }
    };
    Plan { changes: change.into_iter().collect(), ..Plan::nothing() }
}
