//! `coracle demo`: the whole story on this host, told as it happens. Each step says the command that does the same by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::api::Api;
use client::options::Selection;
use client::{Client, Error};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use object::key::ObjectKey;
use object::plan::{DeleteOptions, PatchKind};
use object::time::stopwatch;

use crate::admin::admin_client;
use crate::cli::{BuildFlags, ClusterFlags};
use crate::commands::{build, up};
use crate::failure::Failure;
use crate::options::ServerOptions;
use crate::say;

const CHAT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/chat"));
const DOCKERFILE: &str = include_str!("../../../../examples/chat/Dockerfile");
const MANIFESTS: &str = include_str!("../../../../examples/chat/k8s.yaml");
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(20);

pub(crate) fn run(flags: &ClusterFlags) -> Result<(), Failure> {
    let options = ServerOptions::resolve(flags)?;
    step(1, "Start a cluster", "coracle up");
    up::run(flags)?;

    let image = format!("localhost:{}/chat:1", options.registry_port);
    step(2, "Build the chat image from an ordinary Dockerfile", &format!("coracle build examples/chat -t {image}"));
    let folder = Folder::write()?;
    let build_flags = BuildFlags {
        which: flags.which.clone(),
        context: folder.0.clone(),
        tags: vec![image.clone()],
        file: None,
        build_args: Vec::new(),
        target: None,
        push: true,
    };
    build::run(&build_flags)?;
    step(3, "It was pushed to the registry that coracle brings", &format!("coracle image push {image}"));
    crate::block_on(story(&options, &image))?
}

fn step(number: u32, what: &str, command: &str) {
    say!("\n[{number}/7] {what}\n      $ {command}");
}

async fn story(options: &ServerOptions, image: &str) -> Result<(), Failure> {
    let client = admin_client(&options.place)?;

    step(
        4,
        "Apply a Deployment of two replicas and a Service of type LoadBalancer",
        "kubectl apply --server-side -f examples/chat/k8s.yaml",
    );
    let began = stopwatch();
    apply(&client, &MANIFESTS.replace("localhost:32000/chat:1", image)).await?;
    let deployment = replicas_ready(&client, began).await?;
    say!("      {deployment}");

    let address = load_balancer(&client, began).await?;
    step(5, "Open the chat through the LoadBalancer's address", &format!("curl http://{address}/"));
    let first = answered(address, began)?;
    say!("      pod {first} answers, {} ms after the apply began", began.elapsed().as_millis());
    say!("      open http://{address}/ in a browser");

    let pods = Api::<Pod>::new(&client);
    let victim = chat_pods(&client).await?.into_iter().next().ok_or_else(|| Failure::new("no chat pod is there"))?;
    let victim = victim.metadata.name.unwrap_or_default();
    step(6, "Kill a pod while people are chatting", &format!("kubectl delete pod {victim} --grace-period=0 --force"));
    let traffic = Traffic::start(address);
    let killed = stopwatch();
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    pods.delete(&ObjectKey::new("default", &victim), &options).await.map_err(|e| failed("killing a pod", &e))?;

    step(7, "Watch it heal", "kubectl get pods -l app=chat -w");
    let healed = healed(&client, &victim, killed).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (answered, refused) = traffic.stop();
    say!("      {healed}");
    say!("      meanwhile {answered} requests were answered and {refused} were not");
    say!(
        "\nThe chat runs on at http://{address}/. `coracle status` shows the cluster, `coracle down` stops it, `coracle reset` removes it."
    );
    Ok(())
}

fn failed(what: &str, error: &Error) -> Failure {
    Failure::caused(what, error)
}

/// Every document, by server-side apply as kubectl does it.
async fn apply(client: &Client, manifests: &str) -> Result<(), Failure> {
    for document in codec::yaml::documents(manifests) {
        let document = document.map_err(|e| Failure::new(format!("the manifests: {e}")))?;
        let (kind, name) = (object::meta::kind(&document), object::meta::name(&document).to_owned());
        let resource = kinds::builtin().by_kind(&kind).ok_or_else(|| Failure::new(format!("no resource of kind {kind}")))?;
        let root = if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", kind.api_version()) };
        let path = format!("{root}/namespaces/default/{}/{name}", resource.plural);
        let apply = PatchKind::Apply { field_manager: "coracle-demo", force: true };
        client
            .patch::<serde_json::Value>(&path, apply, &document)
            .await
            .map_err(|e| failed(&format!("applying {}/{name}", resource.plural), &e))?;
        say!("      {}/{name} serverside-applied", resource.group_resource());
    }
    Ok(())
}

async fn replicas_ready(client: &Client, began: Instant) -> Result<String, Failure> {
    let api = Api::<Deployment>::new(client);
    poll("the deployment is not ready", began, || async {
        let deployment = api.get(&ObjectKey::new("default", "chat")).await?;
        let ready = deployment.status.and_then(|s| s.ready_replicas).unwrap_or(0);
        Ok((ready >= 2).then(|| format!("{ready} of 2 replicas ready after {} ms", began.elapsed().as_millis())))
    })
    .await
}

async fn load_balancer(client: &Client, began: Instant) -> Result<IpAddr, Failure> {
    let api = Api::<Service>::new(client);
    poll("the service has no external address", began, || async {
        let service = api.get(&ObjectKey::new("default", "chat")).await?;
        let ingress = service.status.and_then(|s| s.load_balancer).and_then(|l| l.ingress).unwrap_or_default();
        Ok(ingress.into_iter().find_map(|i| i.ip?.parse().ok()))
    })
    .await
}

async fn chat_pods(client: &Client) -> Result<Vec<Pod>, Failure> {
    let pods = Api::<Pod>::new(client).list(&Selection::labels("app=chat")).await.map_err(|e| failed("listing pods", &e))?;
    Ok(pods.items.unwrap_or_default())
}

async fn healed(client: &Client, victim: &str, killed: Instant) -> Result<String, Failure> {
    poll("the pod was not replaced", killed, || async {
        let pods = Api::<Pod>::new(client).list(&Selection::labels("app=chat")).await?.items.unwrap_or_default();
        let is_ready = |pod: &&Pod| {
            let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
            pod.metadata.name.as_deref() != Some(victim) && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
        };
        let n_ready = pods.iter().filter(is_ready).count();
        Ok((n_ready >= 2).then(|| format!("a new pod is ready {} ms after the kill", killed.elapsed().as_millis())))
    })
    .await
}

/// Asks until there is an answer: the demo is one of the few places where a person would look again and again, too.
async fn poll<T, F: Future<Output = Result<Option<T>, Error>>>(complaint: &str, began: Instant, ask: impl Fn() -> F) -> Result<T, Failure> {
    loop {
        if let Some(answer) = ask().await.map_err(|e| failed(complaint, &e))? {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(format!("{complaint} after {} s", PATIENCE.as_secs())).hint("kubectl describe pods -l app=chat"));
        }
        tokio::time::sleep(BETWEEN_REQUESTS).await;
    }
}

/// The pod that answers, tried until one does.
fn answered(address: IpAddr, began: Instant) -> Result<String, Failure> {
    loop {
        match get(address) {
            Some(pod) => return Ok(pod),
            None if began.elapsed() > PATIENCE => {
                return Err(Failure::new(format!("http://{address}/ does not answer")).hint("kubectl get endpointslices"));
            }
            None => std::thread::sleep(BETWEEN_REQUESTS),
        }
    }
}

/// One request; answers which pod served it.
fn get(address: IpAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, 80), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: chat\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|l| l.strip_prefix("X-Pod: ")).map(str::to_owned)
}

/// Requests one after another on a thread of their own.
struct Traffic {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 2]>,
    thread: std::thread::JoinHandle<()>,
}

impl Traffic {
    fn start(address: IpAddr) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let (stopped, counted) = (stop.clone(), counts.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                counted[usize::from(get(address).is_none())].fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Traffic { stop, counts, thread }
    }

    /// How many were answered, and how many were not.
    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        (self.counts[0].load(Ordering::Relaxed), self.counts[1].load(Ordering::Relaxed))
    }
}

/// The example as it lies in the repository, with its program compiled.
struct Folder(PathBuf);

impl Folder {
    fn write() -> Result<Self, Failure> {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("coracle-demo-{}", std::process::id()));
        let write = |name: &str, content: &[u8], mode: u32| {
            let file = path.join(name);
            std::fs::write(&file, content).and_then(|()| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)))
        };
        std::fs::create_dir_all(&path)
            .and_then(|()| write("chat", CHAT, 0o755))
            .and_then(|()| write("Dockerfile", DOCKERFILE.as_bytes(), 0o644))
            .map_err(|e| Failure::caused(format!("cannot write the example to `{}`", path.display()), &e))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}
