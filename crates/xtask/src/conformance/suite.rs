//! Running the suite: the runner with its flags, watched while it runs, interrupted with us.

use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::Cluster;
use super::program::Programs;
use super::progress::{self, Progress};
use super::reading::Report;

/// Upstream's own time limit for a suite is an hour; the slowest peer took 95 minutes.
const TIME_MAX: &str = "3h";
/// How long the runner may take to write its reports when it is interrupted.
const REPORT_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where lines stay: often enough to see that it lives, seldom enough to read.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// What is run together, and how.
pub(crate) struct Part<'a> {
    /// The folder of its results.
    pub(crate) name: &'static str,
    pub(crate) label: String,
    pub(crate) focus: &'a [String],
    pub(crate) skip: &'a [String],
    pub(crate) procs: usize,
}

pub(crate) struct Judge<'a> {
    /// Upstream's seconds, by which each spec has its limit.
    pub(crate) specs: &'a Path,
    pub(crate) programs: &'a Programs,
    pub(crate) cluster: &'a Cluster,
    pub(crate) out: &'a Path,
}

impl Judge<'_> {
    pub(crate) fn run(&self, part: &Part<'_>) -> Result<Report, String> {
        let out = self.out.join(part.name);
        std::fs::create_dir_all(out.join("logs")).map_err(|e| format!("{}: {e}", out.display()))?;
        let log = std::fs::File::create(out.join("log")).map_err(|e| format!("{}: {e}", out.display()))?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        println!("{}: results in {}", part.name, out.display());
        let mut command = self.command(part, &out);
        // In a group of its own: the runner and its processes are to hear of an interruption once, from us.
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let began = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| format!("threads: {e}"))?;
        let is_whole = runtime.block_on(async {
            let child = tokio::process::Command::from(command).spawn().map_err(|e| format!("ginkgo: {e}"))?;
            watch(child, &out, began).await
        })?;
        if !is_whole {
            return Err(format!("interrupted; what was read so far is in {}", out.display()));
        }
        Report::read(&out.join("report.json"))
    }

    fn command(&self, part: &Part<'_>, out: &Path) -> Command {
        let mut command = self.cluster.command(&self.programs.ginkgo);
        command.args(["run", "--no-color", "--silence-skips", "--poll-progress-after=10m", &format!("--timeout={TIME_MAX}")]);
        command.args([&format!("--procs={}", part.procs), &format!("--label-filter={}", part.label)]);
        for one in part.focus {
            command.args(["--focus", one]);
        }
        for one in part.skip {
            command.args(["--skip", one]);
        }
        command.arg(format!("--output-dir={}", out.display())).args(["--json-report=report.json", "--junit-report=junit.xml"]);
        command.arg(&self.programs.suite).arg("--");
        command.arg(format!("--record-dir={}", out.display()));
        command.arg(format!("--specs={}", self.specs.display()));
        command.arg(format!("--kubeconfig={}", self.cluster.kubeconfig().display()));
        command.arg(format!("--kubectl-path={}", self.programs.kubectl.display()));
        command.args(["--provider=skeleton", "--disable-log-dump", "--dump-logs-on-failure=true", "--num-nodes=-1"]);
        command.args(["--allowed-not-ready-nodes=-1", "--minStartupPods=-1"]);
        command
    }
}

/// Waits for the runner and shows how far it is. False when it was interrupted.
async fn watch(mut child: Child, out: &Path, began: Instant) -> Result<bool, String> {
    let failed = |e: std::io::Error| format!("signals: {e}");
    let (mut interrupt, mut term) = (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?);
    let mut screen = Screen::new(out, began);
    loop {
        tokio::select! {
            ended = child.wait() => {
                screen.look();
                screen.end();
                return ended.map(|_| true).map_err(|e| format!("ginkgo: {e}"));
            }
            _ = interrupt.recv() => break,
            _ = term.recv() => break,
            () = tokio::time::sleep(LOOK_EVERY) => screen.look(),
        }
    }
    screen.end();
    println!("interrupted; waiting for the runner's reports …");
    end(&mut child).await;
    Ok(false)
}

/// The runner may write its reports; then its whole group goes, for a process of it would keep the cluster's connections open.
async fn end(child: &mut Child) {
    let Some(pid) = child.id() else { return };
    let tell = |signal: &str| drop(Command::new("kill").args([signal, "--", &format!("-{pid}")]).stderr(Stdio::null()).status());
    tell("-TERM");
    let _ = tokio::time::timeout(REPORT_PATIENCE, child.wait()).await;
    tell("-KILL");
    let _ = child.wait().await;
}

struct Screen {
    events: PathBuf,
    log: PathBuf,
    read_bytes: u64,
    began: Instant,
    told: Instant,
    progress: Progress,
    is_terminal: bool,
}

impl Screen {
    fn new(out: &Path, began: Instant) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let (events, log) = (out.join("events.jsonl"), out.join("log"));
        Screen { events, log, read_bytes: 0, began, told: began, progress: Progress::default(), is_terminal }
    }

    fn look(&mut self) {
        if self.progress.n_all.is_none() {
            self.progress.n_all = std::fs::read_to_string(&self.log).ok().and_then(|log| progress::chosen(&log));
        }
        let now = self.began.elapsed();
        for line in self.new_lines() {
            if let Some(failed) = self.progress.take(&line, now) {
                self.end();
                println!("failed: {}\n        {}", failed.spec, failed.message);
            }
        }
        if self.is_terminal {
            print!("\r\x1b[K{}", self.progress.shown(now));
            let _ = std::io::stdout().flush();
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            println!("{}", self.progress.shown(now));
        }
    }

    /// Whole lines that came since the last look.
    fn new_lines(&mut self) -> Vec<String> {
        let mut text = String::new();
        let Ok(mut file) = std::fs::File::open(&self.events) else { return Vec::new() };
        if file.seek(SeekFrom::Start(self.read_bytes)).is_err() || file.read_to_string(&mut text).is_err() {
            return Vec::new();
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read_bytes += whole as u64;
        text[..whole].lines().map(str::to_owned).collect()
    }

    /// Leaves the line that is written over.
    fn end(&self) {
        if self.is_terminal {
            print!("\r\x1b[K");
        }
    }
}
