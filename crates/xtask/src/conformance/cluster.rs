//! The cluster that is judged: somebody's, or a fresh coracle of two nodes with a registry mirror beside it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::host::Host;
use super::{images, upstream};

pub(crate) struct Cluster {
    kubeconfig: PathBuf,
    own: Option<Own>,
}

/// In the order in which things are taken down.
struct Own {
    programs: Vec<Running>,
    /// Test images that the mirror has, by the suite's name for them.
    images: BTreeSet<&'static str>,
    _agent: Host,
    server: Host,
}

const JOIN_PATIENCE: Duration = Duration::from_secs(60);

/// What a user writes who has a mirror of everything and a login for one registry.
const REGISTRIES: &str = r#"
mirrors:
  "*": {endpoint: ["http://198.51.100.1:5000"]}
  gcr.io: {endpoint: ["http://198.51.100.1:5001"]}
configs:
  gcr.io/k8s-authenticated-test: {auth: {username: judge, password: judge}}
"#;

impl Cluster {
    pub(crate) fn existing(kubeconfig: &Path) -> Result<Self, String> {
        let kubeconfig = kubeconfig.canonicalize().map_err(|e| format!("--against {}: {e}", kubeconfig.display()))?;
        Ok(Cluster { kubeconfig, own: None })
    }

    /// A server and an agent, joined by a link; what they say goes to `out`. With controllers of its own, or only those of which
    /// upstream has none in its controller manager.
    pub(crate) fn start(coracle: &Path, controllers: &str, out: &Path, cache: &Path) -> Result<Self, String> {
        let program = coracle.display().to_string();
        let dir = std::env::temp_dir().join(format!("coracle-conformance-{}", std::process::id()));
        let server = Host::start("node-1", coracle, dir.join("1"))?;
        let agent = Host::start("node-2", coracle, dir.join("2"))?;
        server.link(&agent)?;
        for host in [&server, &agent] {
            let path = host.dir.join("data/registries.yaml");
            std::fs::write(&path, REGISTRIES).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        // The server writes its log to its own folder, which goes with it.
        let log = out.join("node-1.log");
        std::os::unix::fs::symlink(&log, server.dir.join("data/server.log")).map_err(|e| format!("{}: {e}", log.display()))?;
        let images = images::cached(coracle, cache)?;
        let mut programs = Vec::new();
        for (port, login) in [("5000", &[][..]), ("5001", &["--login", "judge:judge"])] {
            let mut mirror = server.command(coracle);
            mirror
                .args(["image", "serve", "--listen", &format!("198.51.100.1:{port}")])
                .args(login)
                .env("CORACLE_DATA_DIR", images::store(cache));
            programs.push(Running::start(&mut mirror, &out.join(format!("mirror-{port}.log")))?);
        }
        server.run(&[&program, "up", "--node-ip=198.51.100.1,2001:db8:1::1", "--controllers", controllers])?;
        let token = server.run(&[&program, "token"])?;
        let mut join = agent.command(coracle);
        join.args(["agent", "--server=https://198.51.100.1:6443", "--node-ip=198.51.100.2,2001:db8:1::2", "--token", token.trim()]);
        programs.push(Running::start(&mut join, &out.join("node-2.log"))?);
        Ok(Cluster { kubeconfig: server.dir.join("kubeconfig"), own: Some(Own { programs, images, _agent: agent, server }) })
    }

    /// Upstream's controller manager and scheduler take up their work in an own cluster.
    pub(crate) fn swap(&mut self, folder: &Path, kubectl: &Path, out: &Path) -> Result<(), String> {
        let own = self.own.as_mut().ok_or("upstream's programs take their place in a coracle of the run's own")?;
        let kubectl = kubectl.display().to_string();
        let admin = own.server.run(&[&kubectl, "config", "view", "--raw", "--output=json"])?;
        for part in upstream::PARTS {
            let arguments = part.arguments(&admin, &own.server.dir)?;
            let mut command = own.server.command(&folder.join(part.program));
            own.programs.push(Running::start(command.args(arguments), &out.join(part.log()))?);
        }
        // Upstream leaves it to an administrator to say that a node may serve.
        let approve =
            r#"until "$0" get csr -o name --field-selector "$1" | xargs -r "$0" certificate approve | grep .; do sleep 0.1; done"#;
        own.server
            .run(&[
                "timeout",
                &JOIN_PATIENCE.as_secs().to_string(),
                "sh",
                "-c",
                approve,
                &kubectl,
                "spec.signerName=kubernetes.io/kubelet-serving",
            ])
            .map(drop)
    }

    /// Returns when every node of an own cluster is Ready.
    pub(crate) fn wait_ready(&self, kubectl: &Path) -> Result<(), String> {
        let Some(own) = &self.own else { return Ok(()) };
        let program = kubectl.display().to_string();
        let began = Instant::now();
        loop {
            let nodes = own.server.run(&[&program, "get", "nodes", "--no-headers"])?;
            if nodes.lines().filter(|node| node.contains(" Ready ")).count() == 2 {
                return Ok(());
            }
            if began.elapsed() > JOIN_PATIENCE {
                return Err(format!("two nodes are not Ready after {} s:\n{nodes}", JOIN_PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The test images that are there; `None` where nobody knows.
    pub(crate) fn images(&self) -> Option<&BTreeSet<&'static str>> {
        self.own.as_ref().map(|own| &own.images)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A program that runs where the cluster can be reached.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match &self.own {
            None => Command::new(program),
            Some(own) => own.server.command(program),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.programs.clear();
    }
}

/// A program that ends with the cluster.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = file.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        command.stdout(file).stderr(errors).stdin(Stdio::null()).spawn().map(Running).map_err(|e| format!("setpriv nsenter: {e}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
