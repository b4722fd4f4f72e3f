//! The node's own two certificates: the one it shows to the API server, and the one its server shows. Both are asked of the control
//! plane and renewed while they last. Upstream: `pkg/kubelet/certificate`.
//!
//! Not here: where they are kept, and how a host first becomes a node (`coracle::join`).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Client;
use object::time::Clock;
use pki::{Identity, KeyPair, Leaf, Renewal};
use serde_json::{Value, json};

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// The control plane answers at once, when it is there.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Which of the two.
#[derive(Clone, Debug)]
pub enum Wanted {
    Client,
    /// At these addresses, and the node's name.
    Serving(Vec<IpAddr>),
}

#[derive(Debug)]
pub enum Error {
    Key(pki::Error),
    /// The request, named by its signer, was not taken.
    Api(&'static str, client::Error),
    /// Nobody approved or signed it in time.
    Unsigned(&'static str),
    /// It is there, and could not be kept or used.
    Unusable(pki::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Key(_) => f.write_str("cannot make a key"),
            Error::Api(signer, _) => write!(f, "cannot get a certificate from `{signer}`"),
            Error::Unsigned(signer) => {
                write!(f, "`{signer}` did not sign this node's certificate in {} s; see `kubectl get csr`", PATIENCE.as_secs())
            }
            Error::Unusable(_) => f.write_str("cannot use the new certificate"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Key(e) | Error::Unusable(e) => Some(e),
            Error::Api(_, e) => Some(e),
            Error::Unsigned(_) => None,
        }
    }
}

impl Wanted {
    fn leaf(&self, node_name: &str) -> Leaf {
        let (user, group) = (format!("system:node:{node_name}"), "system:nodes");
        match self {
            Wanted::Client => Leaf::client(&user, group),
            Wanted::Serving(ips) => {
                Leaf { organization: Some(group.to_owned()), ..Leaf::server(&user, vec![node_name.to_owned()], ips.clone()) }
            }
        }
    }

    /// Who signs it, and what it is used for.
    fn signer(&self) -> (&'static str, &'static str) {
        match self {
            Wanted::Client => ("kubernetes.io/kube-apiserver-client-kubelet", "client auth"),
            Wanted::Serving(_) => ("kubernetes.io/kubelet-serving", "server auth"),
        }
    }
}

/// In which node's name is asked, and through whom.
#[derive(Clone)]
pub struct Asker {
    pub client: Client,
    pub node_name: String,
    pub clock: Clock,
}

impl Asker {
    /// Asks with a new key, and waits until it is signed.
    pub async fn ask(&self, wanted: &Wanted) -> Result<KeyPair, Error> {
        let (key_pem, request_pem) = pki::ask(&wanted.leaf(&self.node_name), self.clock.now()).map_err(Error::Key)?;
        let (signer, usage) = wanted.signer();
        let csr = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"generateName": "node-csr-"},
            "spec": {"request": STANDARD.encode(request_pem), "signerName": signer, "usages": ["digital signature", usage]},
        });
        let created: Value = self.client.create(CSRS, &csr).await.map_err(|e| Error::Api(signer, e))?;
        let path = format!("{CSRS}/{}", object::meta::name(&created));
        for _ in 0..PATIENCE.as_millis() / BETWEEN_LOOKS.as_millis() {
            let csr: Value = self.client.get(&path).await.map_err(|e| Error::Api(signer, e))?;
            if let Some(signed) = csr["status"]["certificate"].as_str().and_then(|c| STANDARD.decode(c).ok()) {
                return Ok(KeyPair { certificate_pem: String::from_utf8_lossy(&signed).into_owned(), key_pem });
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(Error::Unsigned(signer))
    }

    /// Renews what `identity` shows, which now is `pair`, for as long as it is polled. `keep` is for what outlives this process.
    pub async fn keep_fresh(self, wanted: Wanted, pair: KeyPair, identity: Identity, keep: impl Fn(&KeyPair) -> Result<(), pki::Error>) {
        let mut renewal = match Renewal::of(wanted.signer().0, &pair, self.clock.clone()) {
            Ok(renewal) => renewal,
            Err(error) => return tracing::error!(%error, "a certificate of this node will not be renewed"),
        };
        loop {
            renewal.due().await;
            let asked = self.ask(&wanted).await;
            let in_use = |pair: KeyPair| keep(&pair).and_then(|()| identity.exchange(&pair)).map(|()| pair).map_err(Error::Unusable);
            renewal.note(asked.and_then(in_use));
        }
    }
}
