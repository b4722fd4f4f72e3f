//! `coracle agent`: this host as a node of a cluster that others serve. In the foreground; pods outlive it.

use std::path::PathBuf;

use object::time::Clock;
use pki::KeyPair;

use crate::cli::AgentFlags;
use crate::daemon::{self, ServerLock};
use crate::failure::Failure;
use crate::join::{self, JoinToken};
use crate::options::{Place, Ranges, node_name};
use crate::{addresses, host_check, node, registries, server};

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
    let node_ips = addresses::of_node(&flags.node_ip, &pod_ranges)?;
    let client = join::connect(&flags.server, &joined.authority_pem, join::credentials(&joined.identity))?.with_user_agent("kubelet");
    join::wait_for_server(&client).await;
    let serving = join::serving_certificate(&client, &node_name, &node_ips, &clock).await?;
    let node = node::start(node::Setup {
        images: crate::commands::image::open(&place)?,
        registries: registries::load(&place)?,
        serving: pki::tls::server(&serving, &joined.authority_pem).map_err(|e| Failure::caused("TLS", &e))?,
        place,
        node_name,
        node_ips,
        pod_ranges,
        service_ranges,
        client,
        clock,
        authority_pem: joined.authority_pem,
    })
    .await?;
    node.ready().await;
    daemon::notify("READY=1");
    tracing::info!("joined");
    server::wait_for_signal().await;
    daemon::notify("STOPPING=1");
    node.stop().await;
    Ok(())
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
        if let Some(joined) = Joined::load(place) {
            return Ok(joined);
        }
        let token = flags
            .token
            .as_deref()
            .ok_or_else(|| Failure::usage("--token is needed at the first start").hint("coracle token (on the server)"))?;
        let token = JoinToken::parse(token)?;
        let cluster = join::discover(&flags.server, &token).await?;
        let credentials = client::kubeconfig::Credentials::Token(token.bearer);
        let with_token = join::connect(&flags.server, &cluster.authority_pem, credentials)?;
        let identity = join::client_certificate(&with_token, node_name, clock).await?;
        let as_node = join::connect(&flags.server, &cluster.authority_pem, join::credentials(&identity))?;
        join::refuse_taken_name(&as_node, node_name).await?;
        let joined = Joined {
            authority_pem: cluster.authority_pem,
            identity,
            pod_ranges: cluster.pod_ranges,
            service_ranges: cluster.service_ranges,
        };
        joined.save(place)?;
        Ok(joined)
    }

    fn files(place: &Place) -> [PathBuf; 5] {
        ["ca.crt", "node.key", "node.crt", "pod-ranges", "service-ranges"].map(|name| place.pki_dir().join(name))
    }

    fn load(place: &Place) -> Option<Self> {
        let [authority_pem, key_pem, certificate_pem, pod_ranges, service_ranges] =
            Joined::files(place).map(|path| std::fs::read_to_string(path).ok());
        let identity = KeyPair { certificate_pem: certificate_pem?, key_pem: key_pem? };
        Some(Joined { authority_pem: authority_pem?, identity, pod_ranges: pod_ranges?, service_ranges: service_ranges? })
    }

    fn save(&self, place: &Place) -> Result<(), Failure> {
        let texts = [&self.authority_pem, &self.identity.key_pem, &self.identity.certificate_pem, &self.pod_ranges, &self.service_ranges];
        for (path, text) in Joined::files(place).iter().zip(texts) {
            pki::write_private(path, text).map_err(|e| Failure::caused("cannot keep this node's identity", &e))?;
        }
        Ok(())
    }
}
