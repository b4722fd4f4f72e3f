//! A host that is only played: containers that run no command, images that are always there, addresses out of a counter.
//!
//! For the simulated cluster and for tests. Everything happens at once, or on tokio's clock when the pod's annotations say so:
//! `fake.coracle.io/start-after`, `fake.coracle.io/run-for` (seconds, may be fractions), `fake.coracle.io/exit-code`.
//! Images whose name holds `missing` cannot be pulled.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use object::time::Clock;
use oci_image::Credentials;
use oci_runtime::runtime::{BoxFuture, Duplex, Error, Event, ExecOutput, ExecRequest, Result, Runtime, Session};
use oci_runtime::spec::{ContainerConfig, ContainerId, Mount, Resources, SandboxConfig, SandboxId};
use oci_runtime::status::{ContainerState, ContainerStatus, Exit, ExitReason, ResolvedUser, SandboxState, SandboxStatus, Stats};
use pod_plan::effect::Failure;
use pod_plan::pod::BoundPod;
use tokio::sync::broadcast;

use crate::lock::locked;
use crate::observe::POD;
use crate::seams::Waker;
use crate::seams::{Disk, Image, Images, MountRequest, PodNetwork, ProbeAnswer, ProbeRequest, Prober};

/// Events a slow reader may be behind; it lists again after that.
const EVENTS_MAX: usize = 256;

#[derive(Clone)]
pub struct FakeRuntime(Arc<Shared>);

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    events: broadcast::Sender<Event>,
}

#[derive(Default)]
struct State {
    n_made: u64,
    sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    containers: BTreeMap<ContainerId, ContainerStatus>,
    behaviours: HashMap<SandboxId, Behaviour>,
}

#[derive(Clone, Copy, Default)]
struct Behaviour {
    start_after: Duration,
    run_for: Option<Duration>,
    exit_code: i32,
}

impl Behaviour {
    fn read(config: &SandboxConfig) -> Self {
        let text = config.annotations.get(POD).map_or("", String::as_str);
        let pod: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let annotation = |name: &str| pod["metadata"]["annotations"][format!("fake.coracle.io/{name}")].as_str();
        let seconds = |name| annotation(name)?.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
        Behaviour {
            start_after: seconds("start-after").unwrap_or_default(),
            run_for: seconds("run-for"),
            exit_code: annotation("exit-code").and_then(|code| code.parse().ok()).unwrap_or(0),
        }
    }
}

impl FakeRuntime {
    pub fn new(clock: Clock) -> Self {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        FakeRuntime(Arc::new(Shared { clock, state: Mutex::default(), events }))
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.0.clock.now().as_nanosecond()).unwrap_or(0)
    }

    fn next_id(state: &mut State) -> String {
        state.n_made += 1;
        format!("fake-{:012x}", state.n_made)
    }

    /// Ends a container that runs, as if by itself.
    pub fn exit(&self, id: &ContainerId, code: i32) {
        let finished_at_ns = self.now_ns();
        let mut state = locked(&self.0.state);
        let Some(status) = state.containers.get_mut(id) else { return };
        let ContainerState::Running { started_at_ns, .. } = status.state else { return };
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        let exit = Exit { code, signal: None, finished_at_ns, reason, message: String::new() };
        status.state = ContainerState::Exited { started_at_ns: Some(started_at_ns), exit: exit.clone() };
        let _ = self.0.events.send(Event::ContainerExited { sandbox: status.sandbox.clone(), container: id.clone(), exit });
    }

    fn containers_of(&self, sandbox: &SandboxId) -> Vec<ContainerId> {
        locked(&self.0.state).containers.values().filter(|c| c.sandbox == *sandbox).map(|c| c.id.clone()).collect()
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}

fn not_found(what: &'static str, id: &str) -> Error {
    Error::NotFound { what, id: id.to_owned() }
}

fn no_commands<T>() -> Result<T> {
    Err(Error::Invalid("a fake container runs no commands".to_owned()))
}

const KILLED: i32 = 137;

impl Runtime for FakeRuntime {
    fn run_pod_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxId>> {
        let created_at_ns = self.now_ns();
        let mut state = locked(&self.0.state);
        let id = SandboxId(Self::next_id(&mut state));
        state.behaviours.insert(id.clone(), Behaviour::read(&config));
        let status = SandboxStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: SandboxState::Ready { shim_pid: 0, netns: PathBuf::new() },
            created_at_ns,
            labels: config.labels,
            annotations: config.annotations.into_iter().filter(|(key, _)| key != POD).collect(),
            caller_dir: PathBuf::new(),
        };
        state.sandboxes.insert(id.clone(), status);
        ready(Ok(id))
    }

    fn stop_pod_sandbox(&self, id: &SandboxId) -> BoxFuture<'_, Result<()>> {
        self.containers_of(id).iter().for_each(|container| self.exit(container, KILLED));
        if let Some(status) = locked(&self.0.state).sandboxes.get_mut(id) {
            status.state = SandboxState::NotReady;
        }
        ready(Ok(()))
    }

    fn remove_pod_sandbox(&self, id: &SandboxId) -> BoxFuture<'_, Result<()>> {
        let mut state = locked(&self.0.state);
        state.sandboxes.remove(id);
        state.behaviours.remove(id);
        state.containers.retain(|_, c| c.sandbox != *id);
        ready(Ok(()))
    }

    fn list_pod_sandboxes(&self) -> Vec<SandboxStatus> {
        locked(&self.0.state).sandboxes.values().cloned().collect()
    }

    fn pod_sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus> {
        locked(&self.0.state).sandboxes.get(id).cloned().ok_or_else(|| not_found("sandbox", &id.0))
    }

    fn create_container(&self, sandbox: &SandboxId, config: ContainerConfig) -> BoxFuture<'_, Result<ContainerId>> {
        let created_at_ns = self.now_ns();
        let mut state = locked(&self.0.state);
        if !state.sandboxes.contains_key(sandbox) {
            return ready(Err(not_found("sandbox", &sandbox.0)));
        }
        let id = ContainerId(Self::next_id(&mut state));
        let status = ContainerStatus {
            id: id.clone(),
            sandbox: sandbox.clone(),
            metadata: config.metadata,
            image: config.image,
            image_id: config.image_id,
            state: ContainerState::Created,
            created_at_ns,
            labels: config.labels,
            annotations: config.annotations,
            log_path: PathBuf::new(),
            user: Some(ResolvedUser { uid: 0, gid: 0, groups: vec![0], home: "/".to_owned() }),
            writable_layer: None,
            tty: config.tty,
            stdin: config.stdin,
            stdin_once: config.stdin_once,
        };
        state.containers.insert(id.clone(), status);
        ready(Ok(id))
    }

    fn start_container(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>> {
        let (runtime, id) = (self.clone(), id.clone());
        Box::pin(async move {
            let behaviour = {
                let state = locked(&runtime.0.state);
                let status = state.containers.get(&id).ok_or_else(|| not_found("container", &id.0))?;
                state.behaviours.get(&status.sandbox).copied().unwrap_or_default()
            };
            if !behaviour.start_after.is_zero() {
                tokio::time::sleep(behaviour.start_after).await;
            }
            {
                let started_at_ns = runtime.now_ns();
                let mut state = locked(&runtime.0.state);
                let status = state.containers.get_mut(&id).ok_or_else(|| not_found("container", &id.0))?;
                status.state = ContainerState::Running { pid: 0, started_at_ns };
                let _ = runtime.0.events.send(Event::ContainerStarted { sandbox: status.sandbox.clone(), container: id.clone() });
            }
            if let Some(run_for) = behaviour.run_for {
                tokio::spawn(async move {
                    tokio::time::sleep(run_for).await;
                    runtime.exit(&id, behaviour.exit_code);
                });
            }
            Ok(())
        })
    }

    fn stop_container(&self, id: &ContainerId, signal: i32, _grace: Duration) -> BoxFuture<'_, Result<()>> {
        self.exit(id, 128 + signal);
        ready(Ok(()))
    }

    fn remove_container(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>> {
        self.exit(id, KILLED);
        locked(&self.0.state).containers.remove(id);
        ready(Ok(()))
    }

    fn list_containers(&self) -> Vec<ContainerStatus> {
        locked(&self.0.state).containers.values().cloned().collect()
    }

    fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        locked(&self.0.state).containers.get(id).cloned().ok_or_else(|| not_found("container", &id.0))
    }

    fn update_container_resources(&self, _: &ContainerId, _: Resources) -> BoxFuture<'_, Result<()>> {
        ready(Ok(()))
    }
    fn update_sandbox_resources(&self, _: &SandboxId, _: Resources) -> BoxFuture<'_, Result<()>> {
        ready(Ok(()))
    }
    fn container_stats(&self, _: &ContainerId) -> Result<Stats> {
        Ok(Stats::default())
    }
    fn sandbox_stats(&self, _: &SandboxId) -> Result<Stats> {
        Ok(Stats::default())
    }
    fn exec(&self, _: ExecRequest) -> BoxFuture<'_, Result<Session>> {
        ready(no_commands())
    }
    fn exec_sync(&self, _: &ContainerId, _: Vec<String>, _: Option<Duration>) -> BoxFuture<'_, Result<ExecOutput>> {
        ready(Ok(ExecOutput::default()))
    }
    fn attach(&self, _: &ContainerId) -> BoxFuture<'_, Result<Session>> {
        Box::pin(async { no_commands() })
    }
    fn port_forward(&self, _: &SandboxId, _: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        Box::pin(async { no_commands() })
    }
    fn reopen_container_log(&self, _: &ContainerId) -> BoxFuture<'_, Result<()>> {
        ready(Ok(()))
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }
}

pub struct FakeImages;

impl FakeImages {
    fn image(reference: &str) -> Option<Arc<Image>> {
        let is_there = !reference.contains("missing");
        is_there.then(|| {
            Arc::new(Image {
                id: format!("sha256:{reference}"),
                shown: format!("docker.io/library/{reference}"),
                names: vec![reference.to_owned()],
                size: 1,
                entrypoint: vec!["fake".to_owned()],
                ..Image::default()
            })
        })
    }
}

impl Images for FakeImages {
    fn find(&self, reference: &str) -> Option<Arc<Image>> {
        Self::image(reference)
    }
    fn pull<'a>(&'a self, reference: &'a str, _: &'a [Credentials]) -> BoxFuture<'a, std::result::Result<Arc<Image>, Failure>> {
        let text = format!("failed to pull and unpack image {reference:?}: not found");
        ready(Self::image(reference).ok_or_else(|| Failure::new("ErrImagePull", text)))
    }
    fn list(&self) -> Vec<Arc<Image>> {
        Vec::new()
    }
    fn forget(&self, _: &Image) -> std::result::Result<(), String> {
        Ok(())
    }
    fn collect(&self, _: HashSet<PathBuf>) -> BoxFuture<'static, std::result::Result<u64, String>> {
        ready(Ok(0))
    }
}

/// Counts addresses up from the first of a range of its node.
pub struct FakeNetwork {
    first: u32,
    n_given: AtomicU32,
    by_pod: Mutex<HashMap<String, IpAddr>>,
}

impl FakeNetwork {
    pub fn new(first: Ipv4Addr) -> Self {
        FakeNetwork { first: first.into(), n_given: AtomicU32::new(0), by_pod: Mutex::default() }
    }
}

impl PodNetwork for FakeNetwork {
    fn attach(&self, pod_uid: &str, _: PathBuf) -> BoxFuture<'static, std::result::Result<Vec<IpAddr>, String>> {
        let next = || IpAddr::from(Ipv4Addr::from(self.first + self.n_given.fetch_add(1, Ordering::Relaxed) + 1));
        let ip = *locked(&self.by_pod).entry(pod_uid.to_owned()).or_insert_with(next);
        ready(Ok(vec![ip]))
    }
    fn detach(&self, pod_uid: &str) -> BoxFuture<'static, std::result::Result<(), String>> {
        locked(&self.by_pod).remove(pod_uid);
        ready(Ok(()))
    }
    fn addresses(&self, pod_uid: &str) -> Vec<IpAddr> {
        locked(&self.by_pod).get(pod_uid).copied().into_iter().collect()
    }
}

/// No disk: nothing is mounted and nothing is left.
pub struct FakeDisk;

impl Disk for FakeDisk {
    fn mount(&self, _: Arc<BoundPod>, _: Waker) -> BoxFuture<'static, std::result::Result<Option<Timestamp>, String>> {
        ready(Ok(None))
    }
    fn unmount(&self, _: Arc<BoundPod>) -> BoxFuture<'static, std::result::Result<(), String>> {
        ready(Ok(()))
    }
    fn mounts(&self, _: MountRequest) -> BoxFuture<'static, std::result::Result<Vec<Mount>, Failure>> {
        ready(Ok(Vec::new()))
    }
    fn termination_message(&self, _: &str, _: &str, _: u32) -> String {
        String::new()
    }
    fn sweep(&self, _: HashSet<String>) {}
    fn remove_logs(&self, _: &BoundPod) {}
}

/// Every probe succeeds.
pub struct FakeProber;

impl Prober for FakeProber {
    fn probe(&self, _: ProbeRequest) -> BoxFuture<'static, ProbeAnswer> {
        ready(ProbeAnswer::Success)
    }
}
