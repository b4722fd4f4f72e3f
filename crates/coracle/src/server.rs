//! The parts of a server, put together: store, API server, control plane, node, network, registry.
//!
//! Order matters twice: a part starts when what it uses answers, and stops before it. Between the parts lies only the API:
//! controllers, scheduler, kubelet and network are clients of the same handler that serves kubectl.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::Client;
use control_plane::{ControlPlane, Pool, Selection};
use jiff::Timestamp;
use object::time::Clock;
use pki::token::TokenKey;
use pki::{Authority, Identity, KeyPair, Leaf, Renewal};
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;

use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::daemon::{self, ServerLock};
use crate::failure::Failure;
use crate::listen::listen;
use crate::options::{DNS_ADDRESS, ServerOptions};
use crate::{addresses, host_check, kubeconfig, node, own_objects, registries, signals};

/// Upstream's issuer for clusters without another name.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// Serves until told to stop. Pods go on running.
pub(crate) async fn run(options: ServerOptions) -> Result<(), Failure> {
    let _lock = ServerLock::take(&options.place)?;
    let clock = Clock::system();
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();

    daemon::notify("STATUS=looking at the host");
    host_check::run(&options.place)?;
    host_check::no_other_cluster(&options.place, &options.pod_ranges, &options.service_ranges)?;
    daemon::notify("STATUS=opening the store");
    let store = Store::open(&options.place.store_dir(), store::Options::default()).map_err(|e| Failure::new(format!("the store: {e}")))?;
    let timekeeper = store.clone();
    tasks.spawn(async move { timekeeper.keep_time().await });

    daemon::notify("STATUS=starting the API server");
    let node_ips = addresses::of_node(&options.node_ips, &options.pod_ranges)?;
    let credentials = Credentials::prepare(&options, &node_ips, &clock)?;
    let renewal = credentials.renewal(&clock)?;
    tasks.spawn(credentials.clone().keep_fresh(renewal, options.clone(), node_ips.clone(), clock.clone()));
    let api = ApiServer::new(Settings {
        registry: Registry::new(store.clone(), clock.clone(), Entropy::kernel(), service_settings(&options)?),
        token_key: Arc::clone(&credentials.token_key),
        issuer: ISSUER.to_owned(),
        static_tokens: HashMap::new(),
        address: format!("{}:{}", node_ips[0], options.api_port),
        kubelet_tls: Some(
            pki::tls::client(credentials.authority.certificate_pem(), Some(&credentials.kubelet_client), pki::tls::Protocols::Http1)
                .map_err(failed("TLS"))?,
        ),
    });
    api.bootstrap(&node_ips, options.api_port).await.map_err(|e| Failure::new(format!("the first objects: {e}")))?;
    let dns_addresses = options.service_ranges.nth(DNS_ADDRESS);
    let cluster = own_objects::ClusterInfo {
        authority_pem: credentials.authority.certificate_pem().to_owned(),
        pod_ranges: options.pod_ranges.texts(),
        service_ranges: options.service_ranges.texts(),
    };
    let own_client = client_as(&api, "coracle", "system:coracle", &[authz::PRIVILEGED_GROUP]);
    own_objects::create(&own_client, &dns_addresses, &cluster).await?;
    let listener = listen(options.api_port, "--api-port").await?;
    let tls = pki::tls::server(&credentials.serving, credentials.authority.certificate_pem()).map_err(failed("TLS"))?;
    tasks.spawn(api.clone().serve(listener, tls, stopping.clone()));

    daemon::notify("STATUS=starting controllers");
    let control_client = client_as(&api, "kube-controller-manager", "system:kube-controller-manager", &[authz::PRIVILEGED_GROUP]);
    let control = ControlPlane::start(control_client, clock.clone(), control_options(&options, &credentials))
        .await
        .map_err(|e| Failure::usage(format!("--controllers: {e}")).hint("--controllers '*,-scheduler'"))?;

    daemon::notify("STATUS=starting the node");
    let registry_listener = TcpListener::bind(("127.0.0.1", options.registry_port)).await.map_err(|e| {
        Failure::caused(format!("cannot listen on port {} for the image registry", options.registry_port), &e).hint("--registry-port PORT")
    })?;
    let images = crate::commands::image::open(&options.place)?;
    tasks.spawn({
        let registry = image_registry::Registry::new(images.clone(), options.registry_port);
        async move {
            if let Err(error) = registry.serve(registry_listener).await {
                tracing::error!(%error, "the image registry ended");
            }
        }
    });
    let user = format!("system:node:{}", options.node_name);
    let node = node::start(node::Setup {
        place: options.place.clone(),
        node_name: options.node_name.clone(),
        node_ips,
        kubelet_port: options.kubelet_port,
        pod_ranges: options.pod_ranges.clone(),
        service_ranges: options.service_ranges.clone(),
        client: client_as(&api, "kubelet", &user, &["system:nodes", "system:authenticated"]),
        clock: clock.clone(),
        images,
        registries: registries::load(&options.place)?,
        serving: pki::tls::server(&credentials.kubelet_serving, credentials.authority.certificate_pem()).map_err(failed("TLS"))?,
        authority_pem: credentials.authority.certificate_pem().to_owned(),
    })
    .await?;
    node.ready().await;
    let marked = own_objects::mark_control_plane(&own_client, &options.node_name).await;
    marked.map_err(|e| Failure::caused(format!("cannot label node `{}` as control plane", options.node_name), &e))?;
    daemon::notify("READY=1");
    tracing::info!(cluster = options.place.name, "ready");

    signals::wait_for_end().await;
    daemon::notify("STOPPING=1");
    tracing::info!("stopping; pods go on running");
    node.stop().await;
    control.stop().await;
    let _ = stop.send(true);
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
    store.close().await;
    Ok(())
}

fn failed(what: &'static str) -> impl Fn(pki::Error) -> Failure {
    move |error| Failure::caused(what, &error)
}

fn client_as(api: &Arc<ApiServer>, agent: &'static str, user: &str, groups: &[&str]) -> Client {
    let user = UserInfo { name: user.to_owned(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..UserInfo::default() };
    Client::new(Arc::new(api.local(user))).with_user_agent(agent)
}

fn service_settings(options: &ServerOptions) -> Result<ServiceSettings, Failure> {
    let parse = |text: String| text.parse().map_err(|_| Failure::usage(format!("--service-cidr `{text}`: not usable for services")));
    Ok(ServiceSettings { ranges: options.service_ranges.texts().into_iter().map(parse).collect::<Result<_, _>>()?, node_ports: NODE_PORTS })
}

/// What the server shows of itself. All but the authority and the token key is made anew at each start, and renewed while it runs.
#[derive(Clone)]
struct Credentials {
    authority: Authority,
    token_key: Arc<TokenKey>,
    serving: Identity,
    kubelet_client: Identity,
    kubelet_serving: Identity,
    /// The last one issued; all end together.
    issued: KeyPair,
}

/// To whom the server shows itself as what.
struct Pairs {
    serving: KeyPair,
    kubelet_client: KeyPair,
    kubelet_serving: KeyPair,
}

impl Credentials {
    fn prepare(options: &ServerOptions, node_ips: &[IpAddr], clock: &Clock) -> Result<Self, Failure> {
        let (dir, now) = (options.place.pki_dir(), clock.now());
        let authority = Authority::load_or_create(&dir, "ca", "kubernetes", now).map_err(failed("the cluster's authority"))?;
        let token_key = Arc::new(TokenKey::load_or_create(&dir).map_err(failed("the token key"))?);
        let pairs = Pairs::issue(&authority, options, node_ips, now).map_err(failed("certificates"))?;
        let identity = |pair| Identity::new(pair).map_err(failed("certificates"));
        Ok(Credentials {
            serving: identity(&pairs.serving)?,
            kubelet_client: identity(&pairs.kubelet_client)?,
            kubelet_serving: identity(&pairs.kubelet_serving)?,
            issued: pairs.serving,
            token_key,
            authority,
        })
    }

    fn renewal(&self, clock: &Clock) -> Result<Renewal, Failure> {
        Renewal::of("the server's certificates", &self.issued, clock.clone()).map_err(failed("certificates"))
    }

    /// Connections that stand go on.
    async fn keep_fresh(self, mut renewal: Renewal, options: ServerOptions, node_ips: Vec<IpAddr>, clock: Clock) {
        loop {
            renewal.due().await;
            let pairs = Pairs::issue(&self.authority, &options, &node_ips, clock.now());
            renewal.note(pairs.and_then(|pairs| self.exchange(pairs)));
        }
    }

    fn exchange(&self, pairs: Pairs) -> Result<KeyPair, pki::Error> {
        self.serving.exchange(&pairs.serving)?;
        self.kubelet_client.exchange(&pairs.kubelet_client)?;
        self.kubelet_serving.exchange(&pairs.kubelet_serving)?;
        Ok(pairs.serving)
    }
}

impl Pairs {
    /// Writes the administrator's kubeconfig too.
    fn issue(authority: &Authority, options: &ServerOptions, node_ips: &[IpAddr], now: Timestamp) -> Result<Self, pki::Error> {
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"];
        let names = names.iter().map(|n| (*n).to_owned()).chain([options.node_name.clone()]).collect();
        let loopback: [IpAddr; 2] = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
        let ips = [node_ips, &options.service_ranges.nth(1), &loopback].concat();
        let of_node =
            Leaf::server(&format!("system:node:{}", options.node_name), vec![options.node_name.clone()], [node_ips, &loopback].concat());
        let pairs = Pairs {
            serving: authority.issue(&Leaf::server("kube-apiserver", names, ips), now)?,
            kubelet_client: authority.issue(&Leaf::client("kube-apiserver-kubelet-client", authz::PRIVILEGED_GROUP), now)?,
            kubelet_serving: authority.issue(&of_node, now)?,
        };
        write_admin(authority, options, now)?;
        Ok(pairs)
    }
}

/// The administrator's kubeconfig, which `up` merges into the user's own.
fn write_admin(authority: &Authority, options: &ServerOptions, now: Timestamp) -> Result<(), pki::Error> {
    let admin = authority.issue(&Leaf::client("kubernetes-admin", authz::PRIVILEGED_GROUP), now)?;
    let server = format!("https://127.0.0.1:{}", options.api_port);
    let access = kubeconfig::Access { server, ca_pem: authority.certificate_pem(), client: &admin };
    let document = kubeconfig::document(&options.place.context(), &access);
    pki::write_private(Path::new(&options.place.admin_kubeconfig()), &codec::yaml::write(&document))
}

fn control_options(options: &ServerOptions, credentials: &Credentials) -> control_plane::Options {
    let pools = options.pod_ranges.texts();
    control_plane::Options {
        root_ca: credentials.authority.certificate_pem().to_owned(),
        signer: Some(credentials.authority.clone()),
        token_key: Some(Arc::clone(&credentials.token_key)),
        pod_networks: pools.iter().filter_map(|range| Pool::parse(range)).collect(),
        scheduler: scheduling::Options::default(),
        controllers: Selection::parse(&options.controllers),
    }
}
