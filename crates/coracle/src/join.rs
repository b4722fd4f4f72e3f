//! Becoming a node of a cluster: from a token to certificates of one's own, as upstream's TLS bootstrapping does it.
//!
//! ```text
//!   nobody yet trusted: read cluster-info, believe its authority only if it has the token's digest
//!   token               ask for a client certificate as system:node:NAME; the control plane grants and signs it
//!   that certificate    ask for a serving certificate of the node's names and addresses
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::kubeconfig::{Credentials, Target};
use client::remote::Remote;
use client::{Api, Client, Error};
use k8s_openapi::api::core::v1::Node;
use kubelet::identity::{self, Asker, Wanted};
use object::key::ObjectKey;
use pki::KeyPair;
use serde_json::Value;

use crate::failure::Failure;
use crate::own_objects::CLUSTER_INFO;

const BETWEEN_TRIES: Duration = Duration::from_secs(2);

/// `abcdef.0123456789abcdef@<sha256 of the authority>`.
pub(crate) struct JoinToken {
    pub(crate) bearer: String,
    pub(crate) authority: String,
}

impl JoinToken {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let (bearer, authority) = text
            .trim()
            .split_once('@')
            .ok_or_else(|| Failure::usage("--token: not a token of a coracle cluster").hint("coracle token (on the server)"))?;
        Ok(JoinToken { bearer: bearer.to_owned(), authority: authority.to_owned() })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.bearer, self.authority)
    }
}

/// Of the text of an authority's certificate, as it lies on the server and in cluster-info.
pub(crate) fn digest(authority_pem: &str) -> String {
    oci_image::digest_of(authority_pem.trim().as_bytes()).hex().to_owned()
}

/// What a node needs to know of its cluster.
pub(crate) struct Cluster {
    pub(crate) authority_pem: String,
    pub(crate) pod_ranges: String,
    pub(crate) service_ranges: String,
}

/// Reads cluster-info without trusting the server, and believes it only if the authority is the token's.
pub(crate) async fn discover(server: &str, token: &JoinToken) -> Result<Cluster, Failure> {
    let unreachable = |e: Error| Failure::caused(format!("cannot reach `{server}`"), &e).hint("--server https://HOST:6443");
    let target = Target { servers: vec![server.to_owned()], is_insecure: true, ..Target::default() };
    let anybody = Client::new(Arc::new(Remote::new(target).map_err(unreachable)?));
    let info: Value = anybody.get(CLUSTER_INFO).await.map_err(unreachable)?;
    let text = |key: &str| info["data"][key].as_str().unwrap_or("").to_owned();
    let cluster = Cluster { authority_pem: text("ca.crt"), pod_ranges: text("pod-ranges"), service_ranges: text("service-ranges") };
    if digest(&cluster.authority_pem) != token.authority {
        return Err(Failure::new(format!("`{server}` is not the cluster of this token")).hint("coracle token (on the server)"));
    }
    Ok(cluster)
}

/// A client that trusts only the cluster's authority.
pub(crate) fn connect(server: &str, authority_pem: &str, credentials: Credentials) -> Result<Client, Failure> {
    let target = Target { servers: vec![server.to_owned()], ca: Some(authority_pem.as_bytes().to_vec()), credentials, ..Target::default() };
    Ok(Client::new(Arc::new(Remote::new(target).map_err(|e| Failure::caused(format!("cannot use `{server}`"), &e))?)))
}

/// Asks, and says what a person can do when it fails.
pub(crate) async fn certificate(asker: &Asker, wanted: &Wanted, way_out: &'static str) -> Result<KeyPair, Failure> {
    let failure = |error: identity::Error| match &error {
        identity::Error::Api(_, e) if e.status().is_some_and(|status| status.code == 401) => {
            Failure::new("the server does not know this host: its token or certificate is wrong or too old")
        }
        _ => Failure::caused(format!("cannot be the node `{}`", asker.node_name), &error),
    };
    asker.ask(wanted).await.map_err(|error| failure(error).hint(way_out))
}

/// Two hosts under one name would fight over its pods. Upstream's `kubeadm join` refuses it too.
pub(crate) async fn refuse_taken_name(as_node: &Client, node_name: &str) -> Result<(), Failure> {
    let node: Option<Node> = Api::new(as_node)
        .find(&ObjectKey::cluster(node_name))
        .await
        .map_err(|e| Failure::caused(format!("cannot look for a node `{node_name}`"), &e))?;
    let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
    if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
        return Err(Failure::new(format!("the cluster has a node `{node_name}` already, and it is Ready"))
            .hint(format!("--node-name NAME; or, if that host is gone: kubectl delete node {node_name}")));
    }
    Ok(())
}

/// Returns when the server answers this node: hosts that start together find it away at first.
pub(crate) async fn wait_for_server(as_node: &Client) {
    loop {
        match as_node.get::<Value>("/version").await {
            Err(error @ Error::Transport { .. }) => {
                let why = Failure::caused("no answer", &error);
                tracing::warn!(why = why.text(), "waiting for the server; if the cluster was made anew: `coracle reset`, and join again");
            }
            _ => return,
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}
