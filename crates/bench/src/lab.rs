//! The cluster under measurement: a data folder, a kubeconfig, an uplink in this process's own network namespace.
//! Dropping it takes everything down again, also after a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Client;
use client::remote::Remote;

use crate::Result;

pub(crate) const IMAGE: &str = "box:1";
/// What takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// `USER_HZ`, in which /proc counts CPU time; the same on every Linux that runs this.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) struct Lab {
    pub(crate) coracle: PathBuf,
    kubectl: PathBuf,
    dir: PathBuf,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Lab {
    pub(crate) fn new(coracle: PathBuf) -> Result<Self> {
        let kubectl = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients/kubectl");
        let kubectl = std::env::var_os("CORACLE_TEST_KUBECTL").map_or(kubectl, PathBuf::from);
        if !kubectl.exists() {
            return Err("no kubectl; `cargo xtask clients` fetches it".into());
        }
        let dir = std::env::temp_dir().join(format!("coracle-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let lab = Lab { coracle: coracle.canonicalize()?, kubectl, dir, runtime: tokio::runtime::Runtime::new()? };
        let uplink = "ip link set lo up; ip link add up0 type veth peer name up1; ip addr add 192.0.2.50/24 dev up0; \
                      ip -6 addr add 2001:db8::50/64 dev up0 nodad; ip link set up0 up; ip link set up1 up; \
                      ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1";
        lab.run(Path::new("sh"), &["-ec", uplink])?;
        Ok(lab)
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.env("KUBECONFIG", self.kubeconfig()).env("CORACLE_DATA_DIR", self.data_dir());
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.command(program, arguments).output()?;
        if !output.status.success() {
            return Err(format!("{} {arguments:?}: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn coracle(&self, arguments: &[&str]) -> Result<String> {
        self.run(&self.coracle, arguments)
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&self.kubectl, arguments)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> Result<String> {
        let path = self.dir.join(name);
        std::fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    /// A client with a connection of its own. The cluster is started where none runs.
    pub(crate) fn client(&self) -> Result<Client> {
        if !self.kubeconfig().exists() {
            self.coracle(&["up"])?;
        }
        Ok(Client::new(Arc::new(Remote::new(client::kubeconfig::read(&self.kubeconfig(), None)?)?)))
    }

    /// An image with a shell and a web server, made from the host's static busybox.
    pub(crate) fn need_image(&self) -> Result<()> {
        self.client()?;
        if self.coracle(&["image", "ls"])?.contains("box") {
            return Ok(());
        }
        let context = self.dir.join("box");
        std::fs::create_dir_all(&context)?;
        std::fs::copy("/bin/busybox", context.join("busybox")).map_err(|e| format!("no static busybox: {e}"))?;
        self.write(
            "box/Dockerfile",
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nCMD [\"sh\"]\n",
        )?;
        self.coracle(&["build", "-t", IMAGE, &context.display().to_string()]).map(drop)
    }

    fn server_pid(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data_dir().join("run/server.lock"))?.trim().to_owned())
    }

    /// User and system time of the server's process since it began.
    pub(crate) fn server_cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server_pid()?))?;
        // The second field is the name in parentheses, which may hold spaces; utime and stime are the 14th and 15th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: f64 = fields.get(11).ok_or("no utime")?.parse::<f64>()? + fields.get(12).ok_or("no stime")?.parse::<f64>()?;
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// A line of the server's memory account: `VmRSS`, or `VmHWM` for its peak.
    pub(crate) fn server_mebibytes(&self, name: &str) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.server_pid()?))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes: f64 = line.and_then(|rest| rest.split_whitespace().next()).ok_or_else(|| format!("no `{name}`"))?.parse()?;
        Ok(kibibytes / 1024.0)
    }

    /// The peak starts anew from what is held now.
    pub(crate) fn forget_server_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.server_pid()?), "5")?)
    }

    pub(crate) fn restart(&self) -> Result<()> {
        self.restart_saying("info")
    }

    /// With a log of this level.
    pub(crate) fn restart_saying(&self, level: &str) -> Result<()> {
        self.coracle(&["down"])?;
        self.coracle(&["up", "--log", level]).map(drop)
    }

    /// The numbers that the server's log has in a field of its lines with this message.
    pub(crate) fn logged(&self, message: &str, field: &str) -> Result<Vec<f64>> {
        let log = std::fs::read_to_string(self.data_dir().join("server.log"))?;
        let lines = log.lines().filter(|line| line.contains(message));
        Ok(lines.filter_map(|line| line.split(&format!("{field}=")).nth(1)?.split(' ').next()?.parse().ok()).collect())
    }

    /// Ends the cluster and all it made; the next client starts another.
    pub(crate) fn clear(&self) -> Result<()> {
        if self.kubeconfig().exists() {
            self.coracle(&["reset"])?;
            std::fs::remove_file(self.kubeconfig())?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.coracle(&["reset"]);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Seconds that some work took, and what came of it.
pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let began = Instant::now();
    let outcome = work()?;
    Ok((began.elapsed().as_secs_f64(), outcome))
}
