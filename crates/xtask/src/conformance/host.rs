//! A host of its own for a node: network, mount and name namespaces on this machine.
//!
//! Each is held by a keeper that reads from a pipe which only this process holds open. When the pipe ends, the keeper removes what
//! coracle made there: so nothing stays behind, also when this process is interrupted or killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs inside: `$0` is coracle, `$1` the host's name, `$2` its folder, which is in one of the run. The default routes lead
/// nowhere, but without them nothing would be sent to a service's address.
const KEEPER: &str = r#"
trap '' INT TERM HUP
hostname "$1"
ip link set lo up
ip link add up0 type veth peer name up1
ip addr add 192.0.2.50/24 dev up0
ip -6 addr add 2001:db8::50/64 dev up0 nodad
ip link set up0 up
ip link set up1 up
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8::1
echo ready
read -r _ || true
set +e
"$0" reset >/dev/null 2>&1
rm -rf "$2" 2>/dev/null
rmdir "$(dirname "$2")" 2>/dev/null
"#;

pub(crate) struct Host {
    keeper: Child,
    /// Where coracle keeps its state and the kubeconfig.
    pub(crate) dir: PathBuf,
}

impl Host {
    pub(crate) fn start(name: &str, coracle: &Path, dir: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(dir.join("data")).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut keeper = Command::new("setsid")
            .args(["unshare", "-n", "-m", "-u", "--propagation", "private", "sh", "-ec", KEEPER])
            .arg(coracle)
            .arg(name)
            .arg(&dir)
            .envs(variables(&dir))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("setsid unshare: {e}; a cluster of its own needs root and util-linux"))?;
        let mut ready = [0u8; 6];
        std::io::Read::read_exact(keeper.stdout.as_mut().expect("it is piped"), &mut ready)
            .map_err(|e| format!("the namespaces could not be made: {e}; this needs root and iproute2"))?;
        Ok(Host { keeper, dir })
    }

    /// A link between two hosts. This one is 198.51.100.1 and 2001:db8:1::1 on it, the other ends in 2.
    pub(crate) fn link(&self, other: &Host) -> Result<(), String> {
        let here = format!(
            "ip link add lan type veth peer name lan netns {}; ip link set lan up; ip addr add 198.51.100.1/24 dev lan; \
             ip -6 addr add 2001:db8:1::1/64 dev lan nodad",
            other.keeper.id()
        );
        self.run(&["sh", "-ec", &here])?;
        let there = "ip link set lan up; ip addr add 198.51.100.2/24 dev lan; ip -6 addr add 2001:db8:1::2/64 dev lan nodad";
        other.run(&["sh", "-ec", there]).map(drop)
    }

    /// A program that runs there, and ends when this process does.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "nsenter", "-t", &self.keeper.id().to_string(), "-n", "-m", "-u", "--"]).arg(program);
        command.envs(variables(&self.dir)).stdin(Stdio::null());
        command
    }

    /// Runs a program to its end; it must succeed. Answers what it printed.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String, String> {
        let output = self.command(Path::new(words[0])).args(&words[1..]).output().map_err(|e| format!("setpriv nsenter: {e}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("`{}`: {}: {}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

fn variables(dir: &Path) -> [(&'static str, PathBuf); 2] {
    [("CORACLE_DATA_DIR", dir.join("data")), ("KUBECONFIG", dir.join("kubeconfig"))]
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        // What the keeper saw mounted it could not remove; with its namespace that is gone.
        let _ = std::fs::remove_dir_all(&self.dir);
        let _ = self.dir.parent().map(std::fs::remove_dir);
    }
}
