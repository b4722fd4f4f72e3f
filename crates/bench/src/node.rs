//! Pods and services as their users feel them: seconds from a request to what it was for.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::options::Selection;
use client::watch::{Event, Start, Tree, Watch};
use client::{Client, Error};
use object::Value;
use object::key::GroupVersionResource;
use serde_json::json;

use crate::Result;
use crate::lab::{IMAGE, Lab, PATIENCE, timed};
use crate::table::{Bar, Row, percentile};

const PODS: &str = "/api/v1/namespaces/default/pods";
const N_PODS: usize = 30;
const N_REPEATS: usize = 5;
const N_EXECS: usize = 20;
/// A connection that takes longer is tried again; without it a lost first packet would cost the kernel's second.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(20);
const ANSWER_TIME_MAX: Duration = Duration::from_millis(300);

/// All pods of the namespace, as they come by.
struct Pods(Watch<Tree>);

impl Pods {
    fn watch(client: &Client) -> Self {
        let resource = GroupVersionResource::new("", "v1", "pods");
        Pods(Watch::new(client.clone(), &resource, &Selection::namespace("default"), Start::Initial))
    }

    /// Passes every pod seen to `is_last` until it agrees.
    async fn until(&mut self, mut is_last: impl FnMut(&Value) -> bool) -> Result<()> {
        let seen = async {
            loop {
                match self.0.next().await? {
                    Event::Added(pod) | Event::Modified(pod) if is_last(&pod.0) => return Ok::<(), Error>(()),
                    _ => {}
                }
            }
        };
        Ok(tokio::time::timeout(PATIENCE, seen).await.map_err(|_| "the pods did not get there in time")??)
    }
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or("")
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running"
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null() && conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn sleeping(name: &str, seconds: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "sleeping"}},
        "spec": {"containers": [{"name": "c", "image": IMAGE, "command": ["sleep", seconds.to_string()]}]},
    })
}

fn delete_all_pods(lab: &Lab) -> Result<()> {
    lab.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force", "--wait=true"]).map(drop)
}

pub(crate) fn pod_starts(lab: &Lab) -> Result<Vec<Row>> {
    lab.need_image()?;
    let client = lab.client()?;
    let single = lab.runtime.block_on(one_after_the_other(&client))?;
    delete_all_pods(lab)?;
    let together = lab.runtime.block_on(at_once(&client))?;
    delete_all_pods(lab)?;
    Ok(vec![
        Row::new("pod create → Running, 30 in turn, p50", "s", Some(0.70), Bar::AtMost(0.15), percentile(&single, 0.5)),
        Row::new("the same, p99", "s", Some(1.0), Bar::AtMost(0.4), percentile(&single, 0.99)),
        Row::new("30 pods at once, all Running", "s", Some(8.3), Bar::AtMost(2.0), together),
    ])
}

async fn one_after_the_other(client: &Client) -> Result<Vec<f64>> {
    let mut pods = Pods::watch(client);
    let mut seconds = Vec::new();
    for i in 0..N_PODS {
        let wanted = format!("turn-{i}");
        let began = Instant::now();
        client.create::<Value>(PODS, &sleeping(&wanted, 10_000)).await?;
        pods.until(|pod| name(pod) == wanted && is_running(pod)).await?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

async fn at_once(client: &Client) -> Result<f64> {
    let mut pods = Pods::watch(client);
    let began = Instant::now();
    let manifests: Vec<Value> = (0..N_PODS).map(|i| sleeping(&format!("once-{i}"), 10_000)).collect();
    futures_util::future::try_join_all(manifests.iter().map(|pod| client.create::<Value>(PODS, pod))).await?;
    let mut running = std::collections::BTreeSet::new();
    pods.until(|pod| {
        if is_running(pod) {
            running.insert(name(pod).to_owned());
        }
        running.len() == N_PODS
    })
    .await?;
    Ok(began.elapsed().as_secs_f64())
}

/// Each pod's container is killed once: a second death would meet the back-off, which upstream has too.
pub(crate) fn container_restart(lab: &Lab) -> Result<Vec<Row>> {
    lab.need_image()?;
    let client = lab.client()?;
    let mut seconds = Vec::new();
    for i in 0..N_REPEATS {
        let name_wanted = format!("killed-{}-{i}", std::process::id());
        let one = async {
            let mut pods = Pods::watch(&client);
            client.create::<Value>(PODS, &sleeping(&name_wanted, 10_000)).await?;
            pods.until(|pod| name(pod) == name_wanted && is_running(pod)).await?;
            let pid = process_of(&name_wanted)?;
            let began = Instant::now();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
            pods.until(|pod| {
                let container = &pod["status"]["containerStatuses"][0];
                name(pod) == name_wanted && container["restartCount"] == 1 && !container["state"]["running"].is_null()
            })
            .await?;
            Result::Ok(began.elapsed().as_secs_f64())
        };
        seconds.push(lab.runtime.block_on(one)?);
    }
    delete_all_pods(lab)?;
    Ok(vec![Row::new("container killed → running again, p50 of 5", "s", Some(0.393), Bar::AtMost(0.15), percentile(&seconds, 0.5))])
}

/// A process of the pod's container, told by the host name in its environment.
fn process_of(pod: &str) -> Result<rustix::process::Pid> {
    let wanted = format!("HOSTNAME={pod}");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        if std::fs::read(entry.path().join("environ")).is_ok_and(|text| text.split(|byte| *byte == 0).any(|line| line == wanted.as_bytes()))
        {
            return rustix::process::Pid::from_raw(pid).ok_or_else(|| "process 0".into());
        }
    }
    Err("the container's process is not there".into())
}

/// A web server behind a Service with a known address.
fn web(name: &str, address: &str, n_replicas: usize) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {n_replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
         template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n      - {{name: web, image: '{IMAGE}', command: [httpd, -f, -p, '8080', -h, /bin]}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: {address}\n  selector: {{app: {name}}}\n  ports: [{{port: 80, targetPort: 8080}}]\n"
    )
}

fn is_answered(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME_MAX)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut start = [0u8; 5];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/")
    };
    ask().unwrap_or(false)
}

fn until_answered(address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    while !is_answered(address) {
        if began.elapsed() > PATIENCE {
            return Err(format!("{address} does not answer").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

pub(crate) fn apply_to_answer(lab: &Lab) -> Result<Vec<Row>> {
    lab.need_image()?;
    let (mut from_start, mut from_end) = (Vec::new(), Vec::new());
    for i in 0..N_REPEATS {
        let (name, ip) = (format!("first-{i}"), format!("10.96.200.{}", i + 1));
        let file = lab.write("web.yaml", &web(&name, &ip, 2))?;
        let address = format!("{ip}:80").parse()?;
        let began = Instant::now();
        lab.kubectl(&["apply", "-f", &file])?;
        let applied = began.elapsed().as_secs_f64();
        until_answered(address)?;
        from_start.push(began.elapsed().as_secs_f64());
        from_end.push(began.elapsed().as_secs_f64() - applied);
        lab.kubectl(&["delete", "-f", &file, "--wait=false"])?;
    }
    delete_all_pods(lab)?;
    Ok(vec![
        Row::new(
            "`kubectl apply` → first answer through the Service, p50 of 5",
            "s",
            Some(1.365),
            Bar::AtMost(0.7),
            percentile(&from_start, 0.5),
        ),
        Row::new("the same, from kubectl's end", "s", None, Bar::AtMost(0.3), percentile(&from_end, 0.5)),
    ])
}

/// Of two pods behind a Service one is deleted without grace, while requests keep coming.
pub(crate) fn pod_replacement(lab: &Lab) -> Result<Vec<Row>> {
    lab.need_image()?;
    let client = lab.client()?;
    let address = "10.96.200.100:80".parse()?;
    let file = lab.write("web.yaml", &web("healed", "10.96.200.100", 2))?;
    lab.kubectl(&["apply", "-f", &file])?;
    let rolled_out = || lab.kubectl(&["rollout", "status", "deployment/healed", "--timeout=60s"]);
    rolled_out()?;
    let (mut seconds, mut of_deleted, mut of_killed) = (Vec::new(), Lost::default(), Lost::default());
    for _ in 0..N_REPEATS {
        let (ready_after, failures) = lab.runtime.block_on(replace_one(&client, address))?;
        seconds.push(ready_after);
        of_deleted.add(&failures);
    }
    for _ in 0..N_REPEATS {
        // A pod that died before would be held back.
        delete_all_pods(lab)?;
        rolled_out()?;
        of_killed.add(&lab.runtime.block_on(kill_one(&client, address))?);
    }
    lab.kubectl(&["delete", "-f", &file, "--wait=false"])?;
    delete_all_pods(lab)?;
    Ok(vec![
        Row::new("pod deleted without grace → replacement Ready, p50 of 5", "s", None, Bar::AtMost(0.5), percentile(&seconds, 0.5)),
        of_deleted.row("last request to a dead pod after its deletion"),
        of_killed.row("last request to a pod after its process was killed"),
    ])
}

/// Requests that nobody answered.
#[derive(Default)]
struct Lost {
    /// The last one of each turn, in seconds.
    last: Vec<f64>,
    n: usize,
}

impl Lost {
    fn add(&mut self, failures: &[f64]) {
        self.last.push(failures.last().copied().unwrap_or(0.0));
        self.n += failures.len();
    }

    fn row(&self, what: &str) -> Row {
        let measure = format!("{what}, worst of {N_REPEATS} ({} failed in all)", self.n);
        Row::new(measure, "s", None, Bar::Less, percentile(&self.last, 1.0))
    }
}

/// Asks the service all the while; answers when requests failed, in seconds.
async fn while_asked<T>(address: SocketAddr, work: impl Future<Output = Result<T>>) -> Result<(T, Vec<f64>)> {
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let asking = tokio::task::spawn_blocking({
        let is_over = std::sync::Arc::clone(&is_over);
        move || {
            let mut failures = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                if !is_answered(address) {
                    failures.push(began.elapsed().as_secs_f64());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            failures
        }
    });
    let outcome = work.await;
    is_over.store(true, Ordering::Relaxed);
    let failures = asking.await?;
    Ok((outcome?, failures))
}

/// A pod that dies by itself: the process of one of two is killed, and comes again.
async fn kill_one(client: &Client, address: SocketAddr) -> Result<Vec<f64>> {
    let mut pods = Pods::watch(client);
    let mut restarts = std::collections::BTreeMap::new();
    let is_up = |pod: &Value| is_ready(pod).then(|| pod["status"]["containerStatuses"][0]["restartCount"].as_i64()).flatten();
    pods.until(|pod| {
        restarts.extend(is_up(pod).map(|n| (name(pod).to_owned(), n)));
        restarts.len() == 2
    })
    .await?;
    let victim = process_of(restarts.keys().next().ok_or("no pod")?)?;
    let ((), failures) = while_asked(address, async {
        rustix::process::kill_process(victim, rustix::process::Signal::KILL)?;
        pods.until(|pod| is_up(pod).is_some_and(|n| restarts.get(name(pod)).is_some_and(|before| n > *before))).await
    })
    .await?;
    Ok(failures)
}

/// When the replacement was Ready, and when requests failed, in seconds after the deletion was asked for.
async fn replace_one(client: &Client, address: SocketAddr) -> Result<(f64, Vec<f64>)> {
    let mut pods = Pods::watch(client);
    let mut before = std::collections::BTreeSet::new();
    pods.until(|pod| {
        if is_ready(pod) {
            before.insert(name(pod).to_owned());
        }
        before.len() == 2
    })
    .await?;
    let victim = before.first().cloned().ok_or("no pod")?;
    let options = object::plan::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
    while_asked(address, async {
        let began = Instant::now();
        client.delete(&format!("{PODS}/{victim}"), &options).await?;
        pods.until(|pod| is_ready(pod) && !before.contains(name(pod))).await?;
        Ok(began.elapsed().as_secs_f64())
    })
    .await
}

/// Alternating, so that both see the same load.
pub(crate) fn exec(lab: &Lab) -> Result<Vec<Row>> {
    lab.need_image()?;
    lab.kubectl(&["run", "target", &format!("--image={IMAGE}"), "--", "sleep", "10000"])?;
    lab.kubectl(&["wait", "--for=condition=Ready", "pod/target", "--timeout=60s"])?;
    let (mut raw, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..N_EXECS {
        raw.push(timed(|| lab.kubectl(&["get", "--raw", "/version"]))?.0 * 1e3);
        whole.push(timed(|| lab.kubectl(&["exec", "target", "--", "true"]))?.0 * 1e3);
    }
    delete_all_pods(lab)?;
    let (raw, whole) = (percentile(&raw, 0.5), percentile(&whole, 0.5));
    Ok(vec![
        Row::new("`kubectl get --raw /version`, p50 of 20", "ms", Some(95.0), Bar::Less, raw),
        Row::new("`kubectl exec POD -- true`, p50 of 20", "ms", Some(185.0), Bar::Less, whole),
        Row::new("exec beyond the raw get", "ms", Some(90.0), Bar::AtMost(30.0), whole - raw),
    ])
}
