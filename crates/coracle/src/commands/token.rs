//! `coracle token`: a bootstrap token, as kubeadm makes them, with the digest of the cluster's authority behind it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use object::time::{self, Clock};
use registry::entropy::Entropy;
use serde_json::{Value, json};

use crate::admin::admin_client;
use crate::cli::NameFlags;
use crate::failure::Failure;
use crate::join::{self, JoinToken};
use crate::options::Place;
use crate::say;

const LIFE: SignedDuration = SignedDuration::from_hours(24);
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

pub(crate) fn run(flags: &NameFlags) -> Result<(), Failure> {
    let place = Place::of(flags)?;
    let authority = std::fs::read_to_string(place.pki_dir().join("ca.crt"))
        .map_err(|e| Failure::caused("the cluster's authority is not here", &e).hint("run it on a server, as root"))?;
    let entropy = Entropy::kernel();
    let (id, secret) = (random(&entropy, 6), random(&entropy, 16));
    let expiration = time::seconds(Clock::system().now() + LIFE);
    let base64 = |text: &str| STANDARD.encode(text);
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "data": {
            "token-id": base64(&id), "token-secret": base64(&secret), "expiration": base64(&expiration),
            "usage-bootstrap-authentication": base64("true"), "usage-bootstrap-signing": base64("true"),
        },
    });
    let client = admin_client(&place)?;
    let created = crate::block_on(async { client.create::<Value>("/api/v1/namespaces/kube-system/secrets", &object).await })?;
    created.map_err(|e| Failure::caused("cannot create the token", &e).hint("coracle up"))?;
    say!("{}", JoinToken { bearer: format!("{id}.{secret}"), authority: join::digest(&authority) });
    Ok(())
}

fn random(entropy: &Entropy, len: usize) -> String {
    (0..len).map(|_| char::from(LETTERS[(entropy.next() % LETTERS.len() as u64) as usize])).collect()
}
