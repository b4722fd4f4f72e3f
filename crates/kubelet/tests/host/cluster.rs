//! A cluster of one node on this host, with directories and cgroups of its own; gone when it is dropped, also after a failure.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::Client;
use k8s_openapi::api::core::v1::Service;
use kubelet::agent::Agent;
use kubelet::config::Config;
use kubelet::disk::HostDisk;
use kubelet::machine::Machine;
use kubelet::node::Node;
use kubelet::objects::ObjectSource;
use kubelet::prober::HostProber;
use kubelet::seams::{Image, Images, PodNetwork};
use object::plan::DeleteOptions;
use object::time::Clock;
use oci_image::Credentials;
use oci_runtime::embedded::{EmbeddedRuntime, Options, destroy_cgroup};
use oci_runtime::runtime::{BoxFuture, Runtime};
use pki::{Authority, KeyPair, Leaf};
use pod_plan::effect::Failure;
use reconcile::{Informers, Recorder};
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn reason_to_skip() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("root");
    }
    (!Path::new("/bin/busybox").exists()).then_some("a static busybox at /bin/busybox (Debian: apt-get install busybox-static)")
}

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) runtime: Arc<EmbeddedRuntime>,
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) server: Arc<ApiServer>,
    informers: Informers,
    pub(crate) directory: PathBuf,
    cgroup: String,
    agent: Option<JoinHandle<()>>,
    server_pair: KeyPair,
}

/// Runs `test` on a cluster of its own and clears it away.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<tokio::sync::Mutex<Cluster>>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cluster = Arc::new(tokio::sync::Mutex::new(Cluster::start().await));
        let outcome = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(test(Arc::clone(&cluster)))).await;
        cluster.lock().await.clear_away().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Cluster {
    async fn start() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("coracle-kubelet-test-{unique}"));
        make_image(&directory.join("image"));
        let clock = Clock::system();
        let authority = Authority::create("test", clock.now()).expect("an authority");
        let server_pair = authority.issue(&Leaf::server("node-1", Vec::new(), vec![loopback()]), clock.now()).expect("a certificate");
        let admin_pair = authority.issue(&Leaf::client("admin", "system:masters"), clock.now()).expect("a certificate");
        let admin = pki::Identity::new(&admin_pair).expect("an identity");
        let kubelet_tls = pki::tls::client(authority.certificate_pem(), Some(&admin), pki::tls::Protocols::Http1).expect("settings");
        let registry = Registry::new(store::Store::memory(), clock.clone(), Entropy::kernel(), ServiceSettings::default());
        let server = ApiServer::new(Settings {
            registry,
            token_key: Arc::new(pki::token::TokenKey::generate().expect("a key")),
            issuer: "https://kubernetes.default.svc".into(),
            static_tokens: HashMap::new(),
            address: "127.0.0.1:6443".into(),
            kubelet_tls: Some(kubelet_tls),
        });
        server.bootstrap(&["192.0.2.10".parse().expect("an address")], 6443).await.expect("bootstraps");
        let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
        let client = Client::new(Arc::new(server.local(UserInfo { name: "admin".into(), groups, ..UserInfo::default() })));
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}});
        let _: Value = client.create("/api/v1/namespaces/default/serviceaccounts", &account).await.expect("a service account");
        let cgroup = format!("/coracle-kubelet-test/{unique}");
        let options = Options { root: directory.join("run"), shims_cgroup: format!("{cgroup}/shims") };
        let runtime = Arc::new(EmbeddedRuntime::open(options).await.expect("the runtime opens"));
        let informers = Informers::new(client.clone());
        let address = SocketAddr::new(loopback(), 0);
        let mut cluster = Cluster { client, runtime, address, authority, server, informers, directory, cgroup, agent: None, server_pair };
        cluster.start_agent().await;
        cluster
    }

    pub(crate) async fn start_agent(&mut self) {
        let listener = tokio::net::TcpListener::bind((loopback(), self.address.port())).await.expect("a port");
        self.address = listener.local_addr().expect("an address");
        let clock = Clock::system();
        let (recorder, _) = Recorder::start(self.client.clone(), clock.clone());
        let config = self.config();
        let runtime: Arc<dyn Runtime> = self.runtime.clone();
        let network: Arc<dyn PodNetwork> = Arc::new(NoNetwork::default());
        let objects = Arc::new(ObjectSource::new(&self.client, "node-1"));
        let disk = HostDisk::new(config.clone(), &self.client, clock.clone(), Arc::clone(&objects), Arc::clone(&network));
        let node = Node {
            config,
            client: self.client.with_user_agent("kubelet"),
            clock,
            runtime: Arc::clone(&runtime),
            images: Arc::new(OneImage { layer: self.directory.join("image") }),
            network,
            disk: Arc::new(disk),
            prober: Arc::new(HostProber::new(runtime)),
            objects,
            services: self.informers.of::<Service>(),
            recorder,
        };
        let identity = pki::Identity::new(&self.server_pair).expect("an identity");
        let tls = pki::tls::server(&identity, self.authority.certificate_pem()).expect("settings");
        let agent = Agent::new(Arc::new(node));
        let (_images, changes) = tokio::sync::watch::channel(0);
        self.agent = Some(tokio::spawn(async move { agent.run_on_host(listener, tls, changes).await }));
    }

    /// As after a crash: the process is gone, containers run on.
    pub(crate) async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            let _ = agent.await;
        }
    }

    fn config(&self) -> Config {
        Config {
            node_name: "node-1".into(),
            root_dir: self.directory.join("kubelet"),
            log_dir: self.directory.join("logs"),
            cgroup_root: format!("{}/pods", self.cgroup),
            host_ips: vec![loopback()],
            cluster_dns: vec!["10.96.0.10".parse().expect("an address")],
            cluster_domain: "cluster.local".into(),
            host_resolv_conf: "/etc/resolv.conf".into(),
            max_pods: 110,
            labels: [].into(),
            taints: Vec::new(),
            pod_cidrs: Vec::new(),
            port: self.address.port(),
            kubernetes_version: "v1.37.1".into(),
            runtime_version: "coracle://0.1.0".into(),
            machine: Machine::read(&self.directory),
        }
    }

    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        self.client.create(path, &object).await.expect("creates")
    }

    /// A pod of one shell script, with `more` merged into its only container.
    pub(crate) async fn create_pod(&self, name: &str, script: &str, more: Value, pod_more: Value) {
        let mut container = json!({
            "name": "main", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script],
        });
        merge(&mut container, more);
        let mut spec = json!({
            "nodeName": "node-1", "containers": [container], "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
        });
        merge(&mut spec, pod_more);
        let metadata = json!({"name": name, "namespace": "default", "labels": {"app": name}});
        self.create("/api/v1/namespaces/default/pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
            .await;
    }

    pub(crate) async fn pod(&self, name: &str) -> Value {
        self.client.get(&format!("/api/v1/namespaces/default/pods/{name}")).await.unwrap_or_default()
    }

    pub(crate) async fn delete_pod(&self, name: &str) {
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        self.client.delete(&path, &DeleteOptions::default()).await.expect("deletes");
    }

    pub(crate) async fn until(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let from = Instant::now();
        loop {
            let pod = self.pod(name).await;
            if is_so(&pod) {
                return pod;
            }
            assert!(from.elapsed() < PATIENCE, "{name} is not {what} after {PATIENCE:?}: {}", pod["status"]["containerStatuses"]);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn until_running(&self, name: &str) -> Value {
        self.until(name, "running", |pod| pod["status"]["phase"] == "Running").await
    }

    async fn clear_away(&mut self) {
        self.kill_agent().await;
        for sandbox in self.runtime.list_pod_sandboxes() {
            if let Err(e) = self.runtime.remove_pod_sandbox(&sandbox.id).await {
                println!("cannot remove a sandbox: {e}");
            }
        }
        for cgroup in [format!("{}/pods", self.cgroup), format!("{}/shims", self.cgroup), self.cgroup.clone()] {
            let _ = destroy_cgroup(&cgroup).await;
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|p| Path::new(p).starts_with(&self.directory));
        for point in points {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(map), Value::Object(more)) = (into.as_object_mut(), more) {
        map.extend(more);
    }
}

fn make_image(folder: &Path) {
    for part in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
        std::fs::create_dir_all(folder.join(part)).expect("a folder");
    }
    std::fs::copy("/bin/busybox", folder.join("bin/busybox")).expect("busybox");
    for name in
        ["sh", "cat", "echo", "sleep", "ls", "id", "kill", "nc", "hostname", "tail", "seq", "env", "true", "test", "ps", "httpd", "stat"]
    {
        let _ = std::os::unix::fs::symlink("busybox", folder.join("bin").join(name));
    }
    std::fs::write(folder.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("a file");
    std::fs::write(folder.join("etc/group"), "root:x:0:\n").expect("a file");
}

struct OneImage {
    layer: PathBuf,
}

impl Images for OneImage {
    fn find(&self, reference: &str) -> Option<Arc<Image>> {
        Some(Arc::new(Image {
            id: "sha256:1".into(),
            shown: "docker.io/library/busybox@sha256:1".into(),
            names: vec![reference.to_owned()],
            size: 1,
            layers: vec![self.layer.clone()],
            cmd: vec!["sh".into()],
            ..Image::default()
        }))
    }
    fn pull<'a>(&'a self, reference: &'a str, _: &'a [Credentials]) -> BoxFuture<'a, Result<Arc<Image>, Failure>> {
        Box::pin(async move { self.find(reference).ok_or_else(|| Failure::new("ErrImagePull", "not found")) })
    }
    fn list(&self) -> Vec<Arc<Image>> {
        Vec::new()
    }
    fn forget(&self, _: &Image) -> Result<(), String> {
        Ok(())
    }
    fn collect(&self, _: HashSet<PathBuf>) -> BoxFuture<'static, Result<u64, String>> {
        Box::pin(async { Ok(0) })
    }
}

/// Addresses that lead nowhere: these pods are reached through their own loopback only.
#[derive(Default)]
struct NoNetwork(Mutex<HashSet<String>>);

impl PodNetwork for NoNetwork {
    fn attach(&self, pod_uid: &str, _: PathBuf) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        self.0.lock().expect("unpoisoned").insert(pod_uid.to_owned());
        let ips = self.addresses(pod_uid);
        Box::pin(async { Ok(ips) })
    }
    fn detach(&self, _: &str) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![IpAddr::from([10, 244, 0, 1])]
    }
}
