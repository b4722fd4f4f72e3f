//! A place to run a whole cluster in: network and mount namespaces of their own with one uplink, a data folder, a kubeconfig.
//! Dropping it takes everything down again, also after a failure.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const CORACLE: &str = env!("CARGO_BIN_EXE_coracle");
/// A lost node is noticed after fifty seconds.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Lab {
    namespaces: Namespaces,
    pub(crate) dir: PathBuf,
    kubectl: Option<PathBuf>,
}

/// Why whole-cluster tests cannot run here, if they cannot.
pub(crate) fn is_possible() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    is_root
}

/// How a second host is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Between {
    /// Both are on one link: routes lead from host to host.
    Link,
    /// A router, which knows nothing of pods: the hosts need a tunnel.
    Router,
}

/// A second host of a cluster, and how both are reached from each other.
pub(crate) struct Second {
    pub(crate) lab: Lab,
    /// IPv4 and IPv6, of the first and of the second.
    pub(crate) addresses: [[&'static str; 2]; 2],
    router: Option<Namespaces>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Lab::with_uplink(50)
    }

    /// One whose cluster is up and has the image `box:1`; `None` where something for it is missing.
    pub(crate) fn with_box() -> Option<Self> {
        if !is_possible() {
            return None;
        }
        let lab = Lab::new();
        lab.coracle(&["up"]);
        (lab.has_kubectl() && lab.build_box()).then_some(lab)
    }

    /// The host's number on a network of its own, which leads nowhere: other hosts are met on other links.
    fn with_uplink(number: u8) -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("coracle-lab-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary folder is writable");
        let lab = Lab { namespaces: Namespaces::new(), dir, kubectl: kubectl() };
        lab.shell(&format!(
            "ip link set lo up; ip link add up0 type veth peer name up1; ip addr add 192.0.2.{number}/24 dev up0; \
             ip -6 addr add 2001:db8::{number}/64 dev up0 nodad; ip link set up0 up; ip link set up1 up; \
             ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1"
        ));
        lab
    }

    pub(crate) fn second_host(&self, between: Between) -> Second {
        let far = Lab::with_uplink(51);
        match between {
            Between::Link => {
                self.shell(&format!("ip link add lan type veth peer name lan netns {}", far.namespaces.id()));
                self.join_lan("198.51.100.1", "2001:db8:1::1");
                far.join_lan("198.51.100.2", "2001:db8:1::2");
                let addresses = [["198.51.100.1", "2001:db8:1::1"], ["198.51.100.2", "2001:db8:1::2"]];
                Second { lab: far, addresses, router: None }
            }
            Between::Router => {
                let router = Namespaces::new();
                let ends = [("near", self.namespaces.id()), ("far", far.namespaces.id())];
                router.shell(&ends.map(|(name, host)| format!("ip link add {name} type veth peer name lan netns {host}; ")).concat());
                router.shell(
                    "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; \
                     ip addr add 198.51.100.254/24 dev near; ip addr add 2001:db8:1::fe/64 dev near nodad; ip link set near up; \
                     ip addr add 203.0.113.254/24 dev far; ip addr add 2001:db8:2::fe/64 dev far nodad; ip link set far up",
                );
                self.join_lan("198.51.100.1", "2001:db8:1::1");
                self.shell("ip route add 203.0.113.0/24 via 198.51.100.254; ip route add 2001:db8:2::/64 via 2001:db8:1::fe");
                far.join_lan("203.0.113.2", "2001:db8:2::2");
                far.shell("ip route add 198.51.100.0/24 via 203.0.113.254; ip route add 2001:db8:1::/64 via 2001:db8:2::fe");
                let addresses = [["198.51.100.1", "2001:db8:1::1"], ["203.0.113.2", "2001:db8:2::2"]];
                Second { lab: far, addresses, router: Some(router) }
            }
        }
    }

    fn join_lan(&self, ipv4: &str, ipv6: &str) {
        self.shell(&format!("ip addr add {ipv4}/24 dev lan; ip addr add {ipv6}/64 dev lan nodad; ip link set lan up"));
    }

    /// Runs lines of a shell inside; all must succeed.
    pub(crate) fn shell(&self, lines: &str) -> String {
        self.run("sh", &["-ec", lines])
    }

    /// A program that runs until the lab ends.
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Background {
        let log = std::fs::File::create(self.dir.join("background.log")).expect("writable");
        let child = self.command(program, args).stdout(Stdio::null()).stderr(log).spawn().expect("nsenter is there");
        Background(child)
    }

    pub(crate) fn start_kubectl(&self, line: &str) -> Background {
        let program = self.kubectl_program();
        let words = words(line);
        self.start(&program, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn coracle_program() -> &'static str {
        CORACLE
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.namespaces.command(program);
        command.args(args);
        command.env("KUBECONFIG", self.dir.join("kubeconfig")).env("CORACLE_DATA_DIR", self.dir.join("data")).stdin(Stdio::null());
        command
    }

    /// Runs a program inside; it must succeed. Answers its standard output.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.attempt(program, args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{program} {args:?}: {}\n{}{}\n{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr),
            self.log_end()
        );
        text(&output.stdout)
    }

    pub(crate) fn attempt(&self, program: &str, args: &[&str]) -> Output {
        self.command(program, args).output().expect("nsenter is there")
    }

    pub(crate) fn coracle(&self, args: &[&str]) -> String {
        self.run(CORACLE, args)
    }

    /// The real kubectl, or `None` where it was not fetched (`cargo xtask ci` fetches it).
    pub(crate) fn has_kubectl(&self) -> bool {
        if self.kubectl.is_none() {
            eprintln!("skipped: no kubectl; `cargo xtask clients` fetches it");
        }
        self.kubectl.is_some()
    }

    pub(crate) fn kubectl_program(&self) -> String {
        self.kubectl.as_ref().expect("asked before").display().to_string()
    }

    pub(crate) fn kubectl(&self, line: &str) -> String {
        let program = self.kubectl_program();
        let words = words(line);
        self.run(&program, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The error text of a kubectl line that must fail.
    pub(crate) fn kubectl_error(&self, line: &str) -> String {
        let program = self.kubectl_program();
        let words = words(line);
        let output = self.attempt(&program, &words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!output.status.success(), "`kubectl {line}` succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Repeats a kubectl line until its output satisfies `is_good`.
    pub(crate) fn until(&self, line: &str, is_good: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.kubectl(line);
            if is_good(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "`kubectl {line}` still says:\n{text}\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Repeats a kubectl line until it succeeds.
    pub(crate) fn until_works(&self, line: &str) {
        let program = self.kubectl_program();
        let words = words(line);
        let began = Instant::now();
        loop {
            let output = self.attempt(&program, &words.iter().map(String::as_str).collect::<Vec<_>>());
            if output.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(began.elapsed() < PATIENCE, "`kubectl {line}` still fails:\n{said}\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        std::fs::write(&path, content).expect("writable");
        path.display().to_string()
    }

    pub(crate) fn server_pid(&self) -> String {
        std::fs::read_to_string(self.dir.join("data/run/server.lock")).expect("a server runs")
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("data/server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("server.log ends:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"))
    }

    /// An image with a shell, made from Debian's static busybox, under the name `box:1`. False where busybox is not installed.
    pub(crate) fn build_box(&self) -> bool {
        let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists()) else {
            eprintln!("skipped: no busybox-static");
            return false;
        };
        let context = self.dir.join("box");
        std::fs::create_dir_all(&context).expect("writable");
        std::fs::copy(busybox, context.join("busybox")).expect("readable");
        self.write(
            "box/Dockerfile",
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nCMD [\"sh\"]\n",
        );
        self.coracle(&["build", "-t", "box:1", &context.display().to_string()]);
        true
    }
}

impl Second {
    /// The router carries nothing, or all again.
    pub(crate) fn set_router(&self, forwards: bool) {
        let router = self.router.as_ref().expect("there is one");
        router.shell(&format!("echo {} > /proc/sys/net/ipv4/ip_forward", u8::from(forwards)));
    }
}

/// A process that holds a network and a mount namespace until it is dropped.
struct Namespaces(Child);

impl Namespaces {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["-n", "-m", "--propagation", "private", "sh", "-c", "echo ready; exec sleep infinity"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut ready = [0u8; 6];
        std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut ready).expect("the namespaces are made");
        Namespaces(child)
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.id().to_string(), "-n", "-m", program]);
        command
    }

    fn shell(&self, lines: &str) {
        let status = self.command("sh").args(["-ec", lines]).status().expect("nsenter is there");
        assert!(status.success(), "{lines}: {status}");
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends with the test.
pub(crate) struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let reset = self.attempt(CORACLE, &["reset"]);
        let _ = std::fs::remove_dir_all(&self.dir);
        let said = String::from_utf8_lossy(&reset.stderr);
        assert!(reset.status.success() || std::thread::panicking(), "reset failed: {said}");
    }
}

/// Words as a shell splits them; single quotes keep spaces.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate().map(|(i, part)| if i % 2 == 1 { part.replace(' ', "\0") } else { part.to_owned() });
    quoted.collect::<String>().split(' ').map(|word| word.replace('\0', " ")).collect()
}

fn kubectl() -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients/kubectl");
    std::env::var_os("CORACLE_TEST_KUBECTL").map(PathBuf::from).or(Some(fetched)).filter(|p| p.exists())
}
