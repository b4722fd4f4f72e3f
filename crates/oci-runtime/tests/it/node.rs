//! A node of a test's own: a runtime with its own directory and cgroups, gone when it is dropped, also after a failure.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_runtime::embedded::{EmbeddedRuntime, Options, destroy_cgroup};
use oci_runtime::runtime::{ExecOutput, Runtime};
use oci_runtime::spec::{ContainerConfig, ContainerId, ContainerMetadata, Rootfs, SandboxConfig, SandboxId, SandboxMetadata};
use oci_runtime::status::{ContainerState, Exit};

/// Nothing here should take longer, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn reason_to_skip() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("root");
    }
    (!Path::new("/bin/busybox").exists()).then_some("a static busybox at /bin/busybox (Debian: apt-get install busybox-static)")
}

pub(crate) struct Node {
    pub(crate) directory: PathBuf,
    pub(crate) cgroup: String,
    pub(crate) runtime: EmbeddedRuntime,
    tokio: Option<tokio::runtime::Runtime>,
}

impl Node {
    pub(crate) fn new() -> Node {
        let unique = format!("{}-{}", std::process::id(), SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("coracle-runtime-test-{unique}"));
        make_image(&directory.join("image"));
        Node::open(directory, format!("/coracle-test/{unique}"))
    }

    /// On what another process left.
    pub(crate) fn open(directory: PathBuf, cgroup: String) -> Node {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a tokio runtime");
        let options = Options { root: directory.join("run"), shims_cgroup: format!("{cgroup}/shims") };
        let runtime = tokio.block_on(EmbeddedRuntime::open(options)).expect("the runtime opens");
        Node { directory, cgroup, runtime, tokio: Some(tokio) }
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let tokio = self.tokio.as_ref().expect("taken only by drop");
        tokio.block_on(async { tokio::time::timeout(PATIENCE, work).await }).expect("done in time")
    }

    /// As if the process had died: nothing is said to the shims, nothing is cleaned up.
    pub(crate) fn abandon(mut self) -> (PathBuf, String) {
        self.tokio.take().expect("taken only here and by drop").shutdown_background();
        (std::mem::take(&mut self.directory), std::mem::take(&mut self.cgroup))
    }

    pub(crate) fn sandbox_config(&self, uid: &str) -> SandboxConfig {
        SandboxConfig {
            metadata: SandboxMetadata { name: format!("pod-{uid}"), namespace: "default".into(), uid: uid.into(), attempt: 0 },
            hostname: format!("pod-{uid}"),
            cgroup_parent: format!("{}/pods/{uid}", self.cgroup),
            log_directory: self.directory.join("logs").join(uid),
            ..SandboxConfig::default()
        }
    }

    pub(crate) fn sandbox(&self, uid: &str) -> SandboxId {
        self.wait(self.runtime.run_pod_sandbox(self.sandbox_config(uid))).expect("a sandbox")
    }

    /// A shell that runs `script` on the busybox image.
    pub(crate) fn container_config(&self, script: &str) -> ContainerConfig {
        ContainerConfig {
            metadata: ContainerMetadata { name: "main".into(), attempt: 0 },
            image: "busybox".into(),
            rootfs: Rootfs::Overlay { layers: vec![self.directory.join("image/base"), self.directory.join("image/top")] },
            args: ["/bin/sh", "-c", script].map(String::from).to_vec(),
            log_path: "main/0.log".into(),
            ..ContainerConfig::default()
        }
    }

    pub(crate) fn create(&self, sandbox: &SandboxId, config: ContainerConfig) -> ContainerId {
        self.wait(self.runtime.create_container(sandbox, config)).expect("a container")
    }

    pub(crate) fn start(&self, sandbox: &SandboxId, config: ContainerConfig) -> ContainerId {
        let id = self.create(sandbox, config);
        self.wait(self.runtime.start_container(&id)).expect("the container starts");
        id
    }

    pub(crate) fn exit(&self, id: &ContainerId) -> Exit {
        self.wait(async {
            let mut events = self.runtime.events();
            loop {
                if let ContainerState::Exited { exit, .. } = self.runtime.container_status(id).expect("known").state {
                    return exit;
                }
                let _ = events.recv().await;
            }
        })
    }

    /// Starts, waits for the end, and gives the exit and the log's text of standard output and error.
    pub(crate) fn run(&self, sandbox: &SandboxId, mut config: ContainerConfig) -> (Exit, String) {
        config.log_path = format!("run-{}.log", SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).into();
        let id = self.start(sandbox, config);
        let exit = self.exit(&id);
        let log = self.log(&id);
        self.wait(self.runtime.remove_container(&id)).expect("removed");
        (exit, log)
    }

    /// The script's output in a pod of default settings.
    pub(crate) fn output(&self, sandbox: &SandboxId, script: &str) -> String {
        self.run(sandbox, self.container_config(script)).1
    }

    /// The lines of a log without time, stream and tag.
    pub(crate) fn log(&self, id: &ContainerId) -> String {
        let text = self.raw_log(id);
        let lines: Vec<&str> = text.lines().map(|line| line.splitn(4, ' ').nth(3).expect("four parts")).collect();
        lines.join("\n")
    }

    pub(crate) fn raw_log(&self, id: &ContainerId) -> String {
        fs::read_to_string(self.runtime.container_status(id).expect("known").log_path).expect("a log")
    }

    /// Until the log has `text` in it.
    pub(crate) fn await_log(&self, id: &ContainerId, text: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.raw_log(id).contains(text) {
            assert!(std::time::Instant::now() < deadline, "no `{text}` in the log: {}", self.raw_log(id));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn exec(&self, id: &ContainerId, script: &str) -> ExecOutput {
        let command = ["/bin/sh", "-c", script].map(String::from).to_vec();
        self.wait(self.runtime.exec_sync(id, command, None)).expect("the command runs")
    }

    /// Standard output of a command, without the last line end.
    pub(crate) fn ask(&self, id: &ContainerId, script: &str) -> String {
        let output = self.exec(id, script);
        String::from_utf8_lossy(&output.stdout).trim_end().to_string()
    }
}

static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Drop for Node {
    fn drop(&mut self) {
        if self.tokio.is_none() {
            return;
        }
        let sandboxes = self.runtime.list_pod_sandboxes();
        for sandbox in sandboxes {
            if let Err(error) = self.wait(self.runtime.remove_pod_sandbox(&sandbox.id)) {
                eprintln!("sandbox {} is not removed: {error}", sandbox.id.0);
            }
        }
        // The last shim may still be on its way out.
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Err(error) = self.wait(destroy_cgroup(&self.cgroup)) {
            if std::time::Instant::now() > deadline {
                eprintln!("{error}");
                break;
            }
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Two layers: busybox with its commands, and a file over a file.
fn make_image(directory: &Path) {
    let (base, top) = (directory.join("base"), directory.join("top"));
    for dir in ["bin", "etc", "tmp", "root", "home/app"] {
        fs::create_dir_all(base.join(dir)).expect("a directory");
    }
    fs::create_dir_all(top.join("etc")).expect("a directory");
    fs::copy("/bin/busybox", base.join("bin/busybox")).expect("busybox");
    let commands = "sh cat echo id ls sleep true false env pwd mount mkdir touch mknod ps kill hostname grep wc head dd stty tty date nc ip seq rm chmod readlink tr cut sed stat timeout nproc";
    for command in commands.split(' ') {
        std::os::unix::fs::symlink("busybox", base.join("bin").join(command)).expect("a link");
    }
    let write = |path: PathBuf, text: &str| fs::write(path, text).expect("a file");
    write(base.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n");
    write(base.join("etc/group"), "root:x:0:\napp:x:1001:\nextra:x:2000:app\n");
    write(base.join("etc/layer"), "base\n");
    write(top.join("etc/layer"), "top\n");
}
