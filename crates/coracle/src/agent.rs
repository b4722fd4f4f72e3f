//! `coracle agent`: this host as a node of a cluster that others serve. In the foreground; pods outlive it.

use std::path::{Path, PathBuf};

use client::kubeconfig::Credentials;
use kubelet::identity::{Asker, Wanted};
use object::time::Clock;
use pki::{Identity, KeyPair};
use tokio::task::JoinSet;

use crate::cli::AgentFlags;
use crate::daemon::{self, ServerLock};
use crate::failure::Failure;
use crate::join::{self, JoinToken};
use crate::options::{Place, Ranges, node_name};
use crate::{addresses, host_check, node, registries, signals};

const NEW_TOKEN: &str = "--token with what `coracle token` prints on the server; a token lasts a day";

pub(crate) async fn run(flags: &AgentFlags) -> Result<(), Failure> {
    let place = Place::of(&flags.which)?;
    let node_name = node_name(flags.node_name.as_deref())?;
    let _lock = ServerLock::take(&place)?;
    host_check::run(&place)?;
    let clock = Clock::system();
    daemon::notify("STATUS=joining the cluster");
    let joined = Joined::load_or_join(&place, flags, &node_name, &clock).await?;
    let (pod_ranges, service_ranges) =
        (Ranges::parse("pod ranges", &joined.pod_ranges)?, Ranges::parse("service ranges", &joined.service_ranges)?);
    host_check::no_other_cluster(&place, &pod_ranges, &service_ranges)?;
    let node_ips = addresses::of_node(&flags.node_ip, &pod_ranges)?;
    let identity = shown(&joined.identity)?;
    let client = join::connect(&flags.server, &joined.authority_pem, Credentials::Certificate(identity.clone()))?;
    let asker = Asker { client: client.with_user_agent("kubelet"), node_name: node_name.clone(), clock: clock.clone() };
    join::wait_for_server(&asker.client).await;
    let serving_wanted = Wanted::Serving(node_ips.clone());
    let serving = join::certificate(&asker, &serving_wanted, "coracle reset, and join again with a new token").await?;
    let serving_identity = shown(&serving)?;
    let node = node::start(node::Setup {
        images: crate::commands::image::open(&place)?,
        registries: registries::load(&place)?,
        serving: pki::tls::server(&serving_identity, &joined.authority_pem).map_err(|e| Failure::caused("TLS", &e))?,
        place: place.clone(),
        node_name,
        node_ips,
        kubelet_port: flags.kubelet_port,
        pod_ranges,
        service_ranges,
        client: asker.client.clone(),
        clock,
        authority_pem: joined.authority_pem,
    })
    .await?;
    let mut renewals = JoinSet::new();
    renewals.spawn(asker.clone().keep_fresh(serving_wanted, serving, serving_identity, |_| Ok(())));
    renewals.spawn(asker.keep_fresh(Wanted::Client, joined.identity, identity, move |pair| save_identity(&place, pair)));
    node.ready().await;
    daemon::notify("READY=1");
    tracing::info!("joined");
    signals::wait_for_end().await;
    daemon::notify("STOPPING=1");
    node.stop().await;
    Ok(())
}

fn shown(pair: &KeyPair) -> Result<Identity, Failure> {
    Identity::new(pair).map_err(|e| Failure::caused("this node's certificate", &e))
}

/// What is kept from the first start on, so that no token is needed again.
struct Joined {
    authority_pem: String,
    identity: KeyPair,
    pod_ranges: String,
    service_ranges: String,
}

impl Joined {
    async fn load_or_join(place: &Place, flags: &AgentFlags, node_name: &str, clock: &Clock) -> Result<Self, Failure> {
        let before = Joined::load(place);
        let ended = before.as_ref().and_then(|joined| joined.identity.subject().ok()).map(|s| s.until).filter(|at| *at <= clock.now());
        match (before, ended, flags.token.as_deref()) {
            (Some(joined), None, _) => Ok(joined),
            (Some(_), Some(at), None) => {
                Err(Failure::new(format!("this node's certificate ended at {at}, while it was away")).hint(NEW_TOKEN))
            }
            (None, _, None) => Err(Failure::usage("--token is needed at the first start").hint("coracle token (on the server)")),
            (before, _, Some(token)) => {
                let joined = Joined::join(flags, token, node_name, clock, before.is_some()).await?;
                joined.save(place)?;
                Ok(joined)
            }
        }
    }

    async fn join(flags: &AgentFlags, token: &str, node_name: &str, clock: &Clock, is_known: bool) -> Result<Self, Failure> {
        let token = JoinToken::parse(token)?;
        let cluster = join::discover(&flags.server, &token).await?;
        let connect = |credentials| join::connect(&flags.server, &cluster.authority_pem, credentials);
        let with_token = connect(Credentials::Token(token.bearer))?;
        let asker = Asker { client: with_token, node_name: node_name.to_owned(), clock: clock.clone() };
        let identity = join::certificate(&asker, &Wanted::Client, NEW_TOKEN).await?;
        if !is_known {
            join::refuse_taken_name(&connect(Credentials::Certificate(shown(&identity)?))?, node_name).await?;
        }
        Ok(Joined {
            authority_pem: cluster.authority_pem,
            identity,
            pod_ranges: cluster.pod_ranges,
            service_ranges: cluster.service_ranges,
        })
    }

    fn files(place: &Place) -> [PathBuf; 3] {
        ["ca.crt", "pod-ranges", "service-ranges"].map(|name| place.pki_dir().join(name))
    }

    fn load(place: &Place) -> Option<Self> {
        let [authority_pem, pod_ranges, service_ranges] = Joined::files(place).map(|path| std::fs::read_to_string(path).ok());
        let identity = load_identity(&place.pki_dir())?;
        Some(Joined { authority_pem: authority_pem?, identity, pod_ranges: pod_ranges?, service_ranges: service_ranges? })
    }

    fn save(&self, place: &Place) -> Result<(), Failure> {
        let failed = |e| Failure::caused("cannot keep this node's identity", &e);
        for (path, text) in Joined::files(place).iter().zip([&self.authority_pem, &self.pod_ranges, &self.service_ranges]) {
            pki::write_private(path, text).map_err(failed)?;
        }
        save_identity(place, &self.identity).map_err(failed)
    }
}

/// Key and certificate in one file, for they change together.
fn identity_file(pki_dir: &Path) -> PathBuf {
    pki_dir.join("node.pem")
}

fn save_identity(place: &Place, pair: &KeyPair) -> Result<(), pki::Error> {
    pki::write_private(&identity_file(&place.pki_dir()), &format!("{}{}", pair.certificate_pem, pair.key_pem))
}

/// Readers of PEM take the part that they look for.
fn load_identity(pki_dir: &Path) -> Option<KeyPair> {
    let both = std::fs::read_to_string(identity_file(pki_dir)).ok()?;
    Some(KeyPair { certificate_pem: both.clone(), key_pem: both })
}

/// The name under which this host joined a cluster, if it did.
pub(crate) fn joined_as(place: &Place) -> Option<String> {
    let subject = load_identity(&place.pki_dir())?.subject().ok()?;
    subject.common_name.strip_prefix("system:node:").map(str::to_owned)
}
