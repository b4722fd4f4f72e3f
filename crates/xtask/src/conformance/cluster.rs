//! The cluster that is judged: somebody's, or a fresh coracle in network and mount namespaces of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) enum Cluster {
    Existing {
        kubeconfig: PathBuf,
    },
    Own {
        /// Holds the namespaces. It reads from a pipe that only this process holds open, and removes the cluster at its end:
        /// so nothing stays behind, also when this process is interrupted or killed.
        keeper: Child,
        dir: PathBuf,
        images: BTreeSet<String>,
    },
}

/// Times beside upstream's mean something only of a release; the fast lane takes what tests have built already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// Runs in the namespaces: `$0` is coracle.
const KEEPER: &str = r#"
trap '' INT TERM HUP
ip link set lo up
ip link add up0 type veth peer name up1
ip addr add 192.0.2.50/24 dev up0
ip -6 addr add 2001:db8::50/64 dev up0 nodad
ip link set up0 up
ip link set up1 up
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8::1
echo ready
read -r _
exec "$0" reset >/dev/null 2>&1
"#;

/// Archives by the name that the suite's table of images has for them.
const IMAGES: &[(&str, &str)] = &[
    ("Agnhost", "e2e-test-images_agnhost_2.66.1"),
    ("AgnhostPrev", "e2e-test-images_agnhost_2.55"),
    ("BusyBox", "e2e-test-images_busybox_1.37.0-2"),
    ("Pause", "pause_3.10.2"),
    ("Nginx", "e2e-test-images_nginx_1.27.0-2"),
    ("GlibcDnsTesting", "e2e-test-images_glibc-dns-testing_2.1.1"),
    ("Nautilus", "e2e-test-images_nautilus_1.8"),
    ("Kitten", "e2e-test-images_kitten_1.8"),
    ("Nonewprivs", "e2e-test-images_nonewprivs_1.4"),
    ("APIServer", "e2e-test-images_sample-apiserver_1.29.2"),
    ("Etcd", "etcd_3.7.0-0"),
];

impl Cluster {
    pub(crate) fn existing(kubeconfig: &Path) -> Result<Self, String> {
        let kubeconfig = kubeconfig.canonicalize().map_err(|e| format!("--against {}: {e}", kubeconfig.display()))?;
        Ok(Cluster::Existing { kubeconfig })
    }

    pub(crate) fn start(profile: Profile, out: &Path, cache: &Path) -> Result<Self, String> {
        build(profile)?;
        let dir = std::env::temp_dir().join(format!("coracle-conformance-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let coracle = coracle(profile)?;
        let mut keeper = Command::new("setsid")
            .args(["unshare", "-n", "-m", "--propagation", "private", "sh", "-ec", KEEPER])
            .arg(&coracle)
            .env("CORACLE_DATA_DIR", dir.join("data"))
            .env("KUBECONFIG", dir.join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("setsid unshare: {e}; a cluster of its own needs root and util-linux"))?;
        let mut ready = [0u8; 6];
        std::io::Read::read_exact(keeper.stdout.as_mut().expect("it is piped"), &mut ready)
            .map_err(|e| format!("the namespaces could not be made: {e}; this needs root"))?;
        let mut cluster = Cluster::Own { keeper, dir, images: BTreeSet::new() };
        cluster.done(&[&coracle.display().to_string(), "up"])?;
        cluster.import(&coracle, &cache.join("images"))?;
        // The server writes there from now on; what it says is part of the result.
        if let Cluster::Own { dir, .. } = &cluster {
            let _ = std::fs::hard_link(dir.join("data/server.log"), out.join("coracle.log"));
        }
        Ok(cluster)
    }

    fn import(&mut self, coracle: &Path, archives: &Path) -> Result<(), String> {
        for (name, file) in IMAGES {
            let archive = archives.join(format!("registry.k8s.io_{file}.tar"));
            if !archive.exists() {
                continue;
            }
            self.done(&[&coracle.display().to_string(), "image", "import", &archive.display().to_string()])?;
            if let Cluster::Own { images, .. } = self {
                images.insert((*name).to_owned());
            }
        }
        Ok(())
    }

    /// The test images that are there; `None` where nobody knows.
    pub(crate) fn images(&self) -> Option<&BTreeSet<String>> {
        match self {
            Cluster::Existing { .. } => None,
            Cluster::Own { images, .. } => Some(images),
        }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match self {
            Cluster::Existing { kubeconfig } => kubeconfig.clone(),
            Cluster::Own { dir, .. } => dir.join("kubeconfig"),
        }
    }

    /// A program that runs where the cluster can be reached.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match self {
            Cluster::Existing { .. } => Command::new(program),
            Cluster::Own { keeper, dir, .. } => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &keeper.id().to_string(), "-n", "-m", "--"]).arg(program);
                command.env("CORACLE_DATA_DIR", dir.join("data")).env("KUBECONFIG", dir.join("kubeconfig"));
                command
            }
        }
    }

    fn done(&self, words: &[&str]) -> Result<(), String> {
        let output = self.command(Path::new(words[0])).args(&words[1..]).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("`{}`: {}{}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Cluster::Own { keeper, dir, .. } = self {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn build(profile: Profile) -> Result<(), String> {
    println!("building coracle …");
    match Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "coracle"])
        .args((profile == Profile::Release).then_some("--release"))
        .status()
    {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`cargo build` ended with {status}")),
        Err(error) => Err(format!("cargo cannot be run: {error}")),
    }
}

/// Builds name their target, so the folder between is the host's triple.
fn coracle(profile: Profile) -> Result<PathBuf, String> {
    let name = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let path = Path::new("target").join(name).join(if profile == Profile::Release { "release" } else { "debug" }).join("coracle");
    path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))
}
