//! `cargo xtask conformance`: upstream's own suite against coracle, or against any other cluster.
//!
//! What is built (the suite, its runner, kubectl, the test images) is cached by version outside the repository; a fresh coracle of
//! two nodes gets namespaces of its own and goes with this process, however that ends. `tests/conformance/passing.txt` is the
//! claim: a listed spec that fails twice in one run fails the run.
//!
//! ```text
//!   program  images  debian   what is built      host  cluster   where it runs
//!   suite  progress   running and watching       reading  causes  document   what came of it
//!   upstream   upstream's controllers and scheduler in the place of coracle's
//! ```

mod busybox;
mod causes;
mod cluster;
mod debian;
mod document;
mod host;
mod images;
mod program;
mod progress;
mod reading;
mod suite;
mod upstream;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cluster::Cluster;
use program::Programs;
use reading::{Outcome, Report, Spec};
use suite::{Judge, Part};

use crate::binary::{self, Profile};

pub(crate) const USAGE: &str = "cargo xtask conformance [--focus RE] [--skip RE] [--sig NAME] [--procs N] [--parallel | --serial | --fast] [--against KUBECONFIG | --coracle PROGRAM] [--swap FOLDER] [--record | --read REPORT... | --complaints LOG...]
    --sig        only specs of that group, or of those groups with commas between
    --parallel, --serial
                 only the specs that may run beside others, or only those that must run alone; without either, both
    --fast       a few specs a built area, for continuous integration; skipped when the suite is not in the cache
    --against    judge that cluster; without it a fresh coracle of two nodes is started and removed
    --coracle    judge that build of coracle in place of this folder's
    --swap       with the kube-controller-manager and kube-scheduler of that folder in place of coracle's controllers and scheduler;
                 reads only specs that are listed as passing, and fails if one of them complains of what it does not on upstream's server
    --complaints say what those programs' logs complain of, in the words of tests/conformance/complaints.txt
    --record     note the results in tests/conformance and docs/CONFORMANCE.md
    --read       note the results of an earlier run's report.json instead of running; several are noted in their order";

pub(crate) const FOLDER: &str = "tests/conformance";
const DOCUMENT: &str = "docs/CONFORMANCE.md";
const OUTPUT: &str = "target/conformance";
/// Most specs wait more than they work; beyond this, two cores make some miss their own deadlines.
const PROCS: usize = 12;

/// What the fast lane runs: specs of a few seconds, each of which crosses an area from end to end.
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
    // With pods, on two nodes.
    "Deployment should have a working scale subresource",
    "Job should run a job to completion when tasks sometimes fail and are locally restarted",
    "Services should serve a basic endpoint from pods",
    "DNS should provide DNS for the cluster",
    "valid responses are returned for both pod and service ProxyWithPath",
    "ConfigMap should be consumable from pods in volume with defaultMode set",
    "Security Context When creating a container with runAsUser should run the container with uid 65534",
    "InitContainer should invoke init containers on a RestartNever pod",
    "Pods should support remote command execution over websockets",
];

#[derive(Default)]
struct Options {
    focus: Vec<String>,
    skip: Vec<String>,
    sig: Option<String>,
    procs: Option<usize>,
    is_parallel_only: bool,
    is_serial_only: bool,
    is_fast: bool,
    is_recorded: bool,
    against: Option<PathBuf>,
    coracle: Option<PathBuf>,
    swap: Option<PathBuf>,
    read: Vec<PathBuf>,
    complaints: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let options = parse(arguments)?;
    let specs = reading::specs(Path::new(FOLDER))?;
    if !options.read.is_empty() {
        let reports = options.read.iter().map(|path| Report::read(path)).collect::<Result<Vec<_>, _>>()?;
        let notes: Vec<String> = reports.iter().map(Report::note).collect();
        let outcomes: Vec<Outcome> = reports.into_iter().flat_map(|report| report.outcomes).collect();
        return record(&specs, &outcomes, &notes);
    }
    if !options.complaints.is_empty() {
        return upstream::show(&options.complaints);
    }
    let cache = program::cache()?;
    if let Some(why) = if options.is_fast { why_skipped(&cache)? } else { None } {
        println!("skipped: {why}");
        return Ok(());
    }
    let programs = Programs::build(&cache)?;
    let out = std::path::absolute(OUTPUT).map_err(|e| format!("{OUTPUT}: {e}"))?;
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let limits = std::path::absolute(Path::new(FOLDER).join("specs.tsv")).map_err(|e| format!("{FOLDER}: {e}"))?;
    let mut cluster = match &options.against {
        Some(kubeconfig) => Cluster::existing(kubeconfig)?,
        None => {
            let coracle = match &options.coracle {
                Some(program) => program.canonicalize().map_err(|e| format!("--coracle {}: {e}", program.display()))?,
                None => binary::build(if options.is_fast { Profile::Debug } else { Profile::Release })?,
            };
            if !options.is_fast {
                images::build(&coracle, &cache)?;
            }
            let controllers = if options.swap.is_some() { upstream::COMPLEMENT } else { "*" };
            Cluster::start(&coracle, controllers, &out, &cache)?
        }
    };
    if let Some(folder) = &options.swap {
        cluster.swap(folder, &programs.kubectl, &out)?;
    }
    cluster.wait_ready(&programs.kubectl)?;
    judge(&options, &specs, &Judge { programs: &programs, cluster: &cluster, specs: &limits, out: &out })?;
    if options.swap.is_some() { upstream::check(&out, Path::new(FOLDER)) } else { Ok(()) }
}

/// Reads, reads again what contradicts the claim, and says what came of it.
fn judge(options: &Options, specs: &[Spec], judge: &Judge<'_>) -> Result<(), String> {
    let mut skip = options.skip.clone();
    skip.extend(left_out(specs, judge.cluster));
    let claimed = reading::passing(Path::new(FOLDER))?;
    if options.swap.is_some() {
        skip.extend(specs.iter().filter(|spec| !claimed.contains(&spec.name)).map(|spec| escape(&spec.name)));
    }
    let focus: Vec<String> = if options.is_fast { FAST.iter().map(|s| (*s).to_owned()).collect() } else { options.focus.clone() };
    let (mut outcomes, mut notes) = (Vec::new(), Vec::new());
    for (name, label, procs) in options.parts() {
        let report = judge.run(&Part { name, label: options.label(label), focus: &focus, skip: &skip, procs })?;
        println!("{}", report.note());
        notes.push(report.note());
        outcomes.extend(report.outcomes);
    }
    let broken = reading::broken(&outcomes, &claimed);
    let mut lost = broken.clone();
    if !broken.is_empty() {
        println!("{} listed specs failed; once more, alone:", broken.len());
        let focus: Vec<String> = broken.iter().map(|s| escape(s)).collect();
        let again = judge.run(&Part { name: "again", label: "Conformance".to_owned(), focus: &focus, skip: &[], procs: 1 })?;
        lost.retain(|spec| !again.outcomes.iter().any(|o| o.passed && o.spec == *spec));
        for spec in broken.iter().filter(|spec| !lost.contains(spec)) {
            println!("  passes only sometimes: {spec}");
        }
    }
    tell(&outcomes, &claimed);
    if options.is_recorded {
        // A partial run says nothing of the whole.
        let is_whole = options.focus.is_empty() && options.skip.is_empty() && options.sig.is_none() && !options.is_fast;
        let notes = if is_whole { notes } else { Vec::new() };
        record(specs, &outcomes, &notes)?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err(format!("failed twice although {FOLDER}/passing.txt lists them; see {}:\n  {}", judge.out.display(), lost.join("\n  ")))
}

impl Options {
    fn parts(&self) -> Vec<(&'static str, &'static str, usize)> {
        let mut parts = Vec::new();
        if !self.is_serial_only {
            parts.push(("parallel", "Conformance && !Serial", self.procs.unwrap_or(PROCS)));
        }
        if !self.is_parallel_only && !self.is_fast {
            parts.push(("serial", "Conformance && Serial", 1));
        }
        parts
    }

    fn label(&self, label: &str) -> String {
        match &self.sig {
            Some(sigs) => {
                let sigs: Vec<String> = sigs.split(',').map(|sig| format!("sig-{}", sig.trim_start_matches("sig-"))).collect();
                format!("{label} && ({})", sigs.join(" || "))
            }
            None => label.to_owned(),
        }
    }
}

fn why_skipped(cache: &Path) -> Result<Option<String>, String> {
    if !Programs::are_cached(cache)? {
        return Ok(Some(format!("the conformance suite is not in {}; `cargo xtask conformance` builds it", cache.display())));
    }
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    Ok((!is_root).then(|| "a cluster of its own needs root".to_owned()))
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
            "--parallel" => options.is_parallel_only = true,
            "--serial" => options.is_serial_only = true,
            "--fast" => options.is_fast = true,
            "--record" => options.is_recorded = true,
            "--read" => options.read.push(value()?.into()),
            "--coracle" => options.coracle = Some(value()?.into()),
            "--swap" => options.swap = Some(value()?.into()),
            "--complaints" => options.complaints.push(value()?.into()),
            "--against" => options.against = Some(value()?.into()),
            _ => return Err(format!("unknown option {flag}\nusage: {USAGE}")),
        }
    }
    if options.is_parallel_only && options.is_serial_only {
        return Err("--parallel and --serial: one of them, or neither for both parts".to_owned());
    }
    Ok(options)
}

/// Specs whose images are not to be had here.
fn left_out(specs: &[Spec], cluster: &Cluster) -> Vec<String> {
    let Some(images) = cluster.images() else { return Vec::new() };
    let is_there = |image: &String| images.contains(image.as_str());
    let missing: Vec<&Spec> = specs.iter().filter(|spec| !spec.images.iter().all(is_there)).collect();
    if !missing.is_empty() {
        let names: BTreeSet<&str> = missing.iter().flat_map(|s| &s.images).filter(|i| !is_there(i)).map(String::as_str).collect();
        println!("{} specs are left out, for want of the images {}", missing.len(), Vec::from_iter(names).join(", "));
    }
    missing.iter().map(|spec| escape(&spec.name)).collect()
}

fn tell(outcomes: &[Outcome], claimed: &BTreeSet<String>) {
    let n_passed = outcomes.iter().filter(|o| o.passed).count();
    println!("{n_passed} of {} specs passed", outcomes.len());
    for outcome in outcomes.iter().filter(|o| o.passed && !claimed.contains(&o.spec)) {
        println!("  new pass: {}", outcome.spec);
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

fn record(specs: &[Spec], outcomes: &[Outcome], notes: &[String]) -> Result<(), String> {
    let reading = reading::record(Path::new(FOLDER), outcomes, notes)?;
    reading::write(Path::new(DOCUMENT), &document::shown(specs, &reading))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: Result<&str, &str>) {
        let found = parse(arguments).map(|options| {
            let parts: Vec<String> =
                options.parts().into_iter().map(|(name, label, procs)| format!("{name} {procs} `{}`", options.label(label))).collect();
            parts.join(", ")
        });
        assert_eq!(found.as_deref().map_err(|e| e.lines().next().unwrap_or("")), expected, "{arguments:?}");
    }

    #[test]
    fn flags_choose_parts() {
        check(&[], Ok("parallel 12 `Conformance && !Serial`, serial 1 `Conformance && Serial`"));
        check(&["--serial", "--sig", "sig-apps"], Ok("serial 1 `Conformance && Serial && (sig-apps)`"));
        check(&["--parallel", "--procs", "4", "--sig", "node,apps"], Ok("parallel 4 `Conformance && !Serial && (sig-node || sig-apps)`"));
        check(&["--fast"], Ok("parallel 12 `Conformance && !Serial`"));
        check(&["--parallel", "--serial"], Err("--parallel and --serial: one of them, or neither for both parts"));
        check(&["--procs", "many"], Err("--procs needs a number"));
        check(&["--focus"], Err("--focus needs a value"));
        check(&["--slow"], Err("unknown option --slow"));
    }

    #[test]
    fn names_mean_themselves() {
        assert_eq!(escape("[a] b.c"), r"\[a\] b\.c");
    }
}
