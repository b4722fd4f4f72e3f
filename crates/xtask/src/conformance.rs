//! `cargo xtask conformance`: upstream's own suite against coracle, or against any other cluster.
//!
//! What is built (the suite, its runner, kubectl) is cached by version outside the repository; a fresh coracle gets namespaces of
//! its own and goes with this process, however that ends. `tests/conformance/passing.txt` is the claim: a listed spec that fails
//! twice in one run fails the run. Image archives are taken from the cache; specs whose images are not there are left out, and
//! that is said.

mod cluster;
mod program;
mod reading;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Profile};
use program::Programs;
use reading::{Outcome, Spec};

pub(crate) const USAGE: &str = "cargo xtask conformance [--focus RE] [--skip RE] [--sig NAME] [--procs N] [--serial | --fast] [--against KUBECONFIG] [--record | --read REPORT]
    --serial     the specs that must run alone, in place of the others
    --fast       a few specs a built area, for continuous integration; skipped when the suite is not in the cache
    --against    judge that cluster; without it a fresh coracle is started and removed
    --record     note the results in tests/conformance and docs/CONFORMANCE.md
    --read       note the results of an earlier run's report.json instead of running";

pub(crate) const FOLDER: &str = "tests/conformance";
const DOCUMENT: &str = "docs/CONFORMANCE.md";
const OUTPUT: &str = "target/conformance";
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Upstream's own time limit for a suite is an hour; the slowest peer took 95 minutes.
const TIME_MAX: &str = "3h";

/// What the fast lane runs: specs of a second or two, each of which crosses an area from end to end.
const FAST: &[&str] = &[
    "Servers with support for Table transformation should return a 406",
    "Watchers should observe add, update, and delete watch notifications on configmaps",
    "API Server should have Endpoints and EndpointSlices",
    "server version should find the server version",
    "ConfigMap should be immutable if `immutable` field is set",
    "Events API should ensure that an event can be fetched, patched, deleted, and listed",
    "ServiceAccounts should run through the lifecycle of a ServiceAccount",
    "SubjectReview should support SubjectReview API operations",
    "EndpointSlice should support creating EndpointSlice API operations",
    "RuntimeClass .*should support RuntimeClasses API operations",
    "Kubectl api-versions should check if v1 is in available api versions",
];

#[derive(Default)]
struct Options {
    focus: Vec<String>,
    skip: Vec<String>,
    sig: Option<String>,
    procs: Option<usize>,
    is_serial: bool,
    is_fast: bool,
    is_recorded: bool,
    against: Option<PathBuf>,
    read: Option<PathBuf>,
}

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let options = parse(arguments)?;
    let specs = reading::specs(Path::new(FOLDER))?;
    if let Some(report) = &options.read {
        return reading::record(Path::new(FOLDER), Path::new(DOCUMENT), &specs, &reading::outcomes(report)?);
    }
    let cache = program::cache()?;
    if options.is_fast && !Programs::are_cached(&cache) {
        println!("skipped: the conformance suite is not in {}; `cargo xtask conformance` builds it", cache.display());
        return Ok(());
    }
    if options.is_fast && !is_root() {
        println!("skipped: a cluster of its own needs root");
        return Ok(());
    }
    let programs = Programs::build(&cache)?;
    let out = std::path::absolute(OUTPUT).map_err(|e| format!("{OUTPUT}: {e}"))?;
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let cluster = match &options.against {
        Some(kubeconfig) => Cluster::existing(kubeconfig)?,
        None => Cluster::start(if options.is_fast { Profile::Debug } else { Profile::Release }, &out, &cache)?,
    };
    let skip = left_out(&specs, &cluster);
    let focus = if options.is_fast { FAST.iter().map(|s| (*s).to_owned()).collect() } else { options.focus.clone() };
    let judge = Judge { programs: &programs, cluster: &cluster, options: &options, skip: &skip, out: &out };
    let first = judge.run("first", &focus)?;
    let claimed = reading::passing(Path::new(FOLDER))?;
    let broken: Vec<String> = first.iter().filter(|o| !o.passed && claimed.contains(&o.spec)).map(|o| o.spec.clone()).collect();
    let second = if broken.is_empty() { Vec::new() } else { judge.run("again", &broken.iter().map(|s| escape(s)).collect::<Vec<_>>())? };
    tell(&first, &claimed);
    if options.is_recorded {
        reading::record(Path::new(FOLDER), Path::new(DOCUMENT), &specs, &first)?;
    }
    let lost: Vec<&str> = second.iter().filter(|o| !o.passed && broken.contains(&o.spec)).map(|o| o.spec.as_str()).collect();
    match lost[..] {
        [] => Ok(()),
        _ => Err(format!("failed twice although {FOLDER}/passing.txt lists them; see {}:\n  {}", out.display(), lost.join("\n  "))),
    }
}

fn parse(arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut value = || rest.next().map(|v| (*v).to_owned()).ok_or_else(|| format!("{flag} needs a value"));
        match *flag {
            "--focus" => options.focus.push(value()?),
            "--skip" => options.skip.push(value()?),
            "--sig" => options.sig = Some(value()?),
            "--procs" => options.procs = Some(value()?.parse().map_err(|_| "--procs needs a number".to_owned())?),
            "--serial" => options.is_serial = true,
            "--fast" => options.is_fast = true,
            "--record" => options.is_recorded = true,
            "--read" => options.read = Some(value()?.into()),
            "--against" => options.against = Some(value()?.into()),
            _ => return Err(format!("unknown option {flag}\nusage: {USAGE}")),
        }
    }
    Ok(options)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

/// Specs whose images are not to be had here.
fn left_out(specs: &[Spec], cluster: &Cluster) -> Vec<String> {
    let Some(images) = cluster.images() else { return Vec::new() };
    let is_there = |spec: &&Spec| spec.images.iter().all(|image| images.contains(image));
    let missing: Vec<&Spec> = specs.iter().filter(|spec| !is_there(spec)).collect();
    if !missing.is_empty() {
        let names: BTreeSet<&str> = missing.iter().flat_map(|s| &s.images).filter(|i| !images.contains(*i)).map(String::as_str).collect();
        println!("{} specs are left out, for want of the images {}", missing.len(), Vec::from_iter(names).join(", "));
    }
    missing.iter().map(|spec| escape(&spec.name)).collect()
}

struct Judge<'a> {
    programs: &'a Programs,
    cluster: &'a Cluster,
    options: &'a Options,
    skip: &'a [String],
    out: &'a Path,
}

impl Judge<'_> {
    fn run(&self, name: &str, focus: &[String]) -> Result<Vec<Outcome>, String> {
        let out = self.out.join(name);
        std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
        let log = std::fs::File::create(out.join("log")).map_err(|e| format!("{}: {e}", out.display()))?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        let mut command = self.command(&out, focus);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(|e| format!("ginkgo: {e}"))?;
        watch(child, &out)?;
        reading::outcomes(&out.join("report.json"))
    }

    fn command(&self, out: &Path, focus: &[String]) -> Command {
        let options = self.options;
        let mut label = if options.is_serial { "Conformance && Serial" } else { "Conformance && !Serial" }.to_owned();
        if let Some(sig) = &options.sig {
            label.push_str(&format!(" && sig-{}", sig.trim_start_matches("sig-")));
        }
        let procs = if options.is_serial { 1 } else { options.procs.unwrap_or(8) };
        let mut command = self.cluster.command(&self.programs.ginkgo);
        command.args(["run", "--no-color", "--silence-skips", "--poll-progress-after=10m", &format!("--timeout={TIME_MAX}")]);
        command.args([&format!("--procs={procs}"), &format!("--label-filter={label}")]);
        for one in focus {
            command.args(["--focus", one]);
        }
        for one in options.skip.iter().chain(self.skip) {
            command.args(["--skip", one]);
        }
        command.arg(format!("--output-dir={}", out.display())).args(["--json-report=report.json", "--junit-report=junit.xml"]);
        command.arg(&self.programs.suite).arg("--");
        command.arg(format!("--kubeconfig={}", self.cluster.kubeconfig().display()));
        command.arg(format!("--kubectl-path={}", self.programs.kubectl.display()));
        command.args(["--provider=skeleton", "--disable-log-dump", "--dump-logs-on-failure=true", "--num-nodes=-1"]);
        command.args(["--allowed-not-ready-nodes=-1", "--minStartupPods=-1"]);
        command
    }
}

/// Waits for the runner and says how far it is.
fn watch(mut child: Child, out: &Path) -> Result<(), String> {
    let began = Instant::now();
    let mut told = Instant::now();
    loop {
        if child.try_wait().map_err(|e| e.to_string())?.is_some() {
            return Ok(());
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            let log = std::fs::read_to_string(out.join("log")).unwrap_or_default();
            let (done, failed) = (log.matches('•').count(), log.matches("• [FAILED]").count());
            println!("{:>5.0} s  {done} done, {failed} failed", began.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn tell(outcomes: &[Outcome], claimed: &BTreeSet<String>) {
    let n_passed = outcomes.iter().filter(|o| o.passed).count();
    println!("{n_passed} of {} specs passed", outcomes.len());
    for outcome in outcomes {
        match (outcome.passed, claimed.contains(&outcome.spec)) {
            (true, false) => println!("  new pass: {}", outcome.spec),
            (false, _) => println!("  failed:   {}\n            {}", outcome.spec, outcome.message.chars().take(200).collect::<String>()),
            _ => {}
        }
    }
}

/// A name as a regular expression that means just that name.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for c in name.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
