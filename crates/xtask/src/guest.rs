//! `cargo xtask guest`: coracle on Debian's stock kernel under emulation, for what the machine's own kernel cannot show: cgroup v2,
//! a power cut, a kernel that lacks something. The stories are shell scripts in `tests/guest`; what they must have said stands here.

mod image;
mod machine;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use machine::{Boot, Machine, Watched};

use crate::binary::{self, Profile};

/// Emulation is 5 to 20 times slower than the machine, and the machine may be busy.
const TIME_MAX: Duration = Duration::from_secs(900);
/// The power goes after so many acknowledged writes: well within a batch, with all writers at work.
const WRITES_BEFORE_THE_CUT: usize = 400;

pub(crate) fn run(profile: Profile) -> Result<(), String> {
    if let Some(lack) = image::lack() {
        println!("skipped: {lack}");
        return Ok(());
    }
    crate::clients::fetch_kubectl()?;
    let coracle = binary::build(profile)?;
    let machine = Machine { image: image::build(&coracle)? };
    told("node", || a_node_on_cgroup_v2(&machine))?;
    told("power cut", || acknowledged_writes_survive_a_power_cut(&machine))?;
    told("lacks", || a_kernel_without_what_is_needed(&machine))
}

fn told(story: &str, run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    run().map_err(|why| format!("the guest's story `{story}`: {why}"))?;
    println!("guest: {story}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn a_node_on_cgroup_v2(machine: &Machine) -> Result<(), String> {
    let disk = machine.image.disk()?;
    let lines = machine.boot(&Boot { story: "node", options: "", disk: &disk, time_max: TIME_MAX }, |_| Watched::GoOn)?;
    must_say(
        &lines,
        &[
            "67108864",
            "50000 100000",
            "pod/hungry condition met",
            "answered: still-here",
            "still-here",
            "shims after down: 0",
            "mounts after reset: 0",
            "links after reset: 0",
            "groups after reset: 0",
            "guest-status: 0",
        ],
    )
}

fn acknowledged_writes_survive_a_power_cut(machine: &Machine) -> Result<(), String> {
    let disk = machine.image.disk()?;
    let boot = Boot { story: "writes", options: "", disk: &disk, time_max: TIME_MAX };
    let mut n_acknowledged = 0;
    let lines = machine.boot(&boot, |line| {
        n_acknowledged += usize::from(acknowledged(line).is_some());
        if n_acknowledged == WRITES_BEFORE_THE_CUT { Watched::CutThePower } else { Watched::GoOn }
    })?;
    // What came through the console after the decision and before the cut was acknowledged too.
    let acknowledged: Vec<&str> = lines.iter().filter_map(|line| acknowledged(line)).collect();
    if acknowledged.len() < WRITES_BEFORE_THE_CUT {
        return Err(format!("only {} writes were acknowledged:\n{}", acknowledged.len(), end_of(&lines)));
    }
    let lines = machine.boot(&Boot { story: "after_the_cut", ..boot }, |_| Watched::GoOn)?;
    must_say(&lines, &["successfully rolled out", "guest-status: 0"])?;
    let kept: BTreeMap<&str, &str> = lines.iter().filter_map(|line| line.strip_prefix("kept: ")?.split_once('=')).collect();
    // `w2-17` was written with the value 17.
    let is_kept = |name: &&&str| kept.get(**name).is_some_and(|value| name.ends_with(&format!("-{value}")));
    let lost: Vec<&&str> = acknowledged.iter().filter(|name| !is_kept(name)).collect();
    println!("guest: {} writes acknowledged, {} kept", acknowledged.len(), kept.len());
    if lost.is_empty() { Ok(()) } else { Err(format!("acknowledged, and lost: {lost:?}")) }
}

fn acknowledged(line: &str) -> Option<&str> {
    line.strip_prefix("configmap/")?.strip_suffix(" created")
}

fn a_kernel_without_what_is_needed(machine: &Machine) -> Result<(), String> {
    let disk = machine.image.disk()?;
    let options = "modules=none cgroup_disable=memory";
    let lines = machine.boot(&Boot { story: "lacks", options, disk: &disk, time_max: TIME_MAX }, |_| Watched::GoOn)?;
    must_say(&lines, &["this host cannot run pods", "memory", "modprobe overlay", "modprobe veth", "nf_tables", "guest-status: 0"])?;
    match lines.iter().find(|line| line.contains("it came up")) {
        None => Ok(()),
        Some(_) => Err(format!("coracle started on a kernel that cannot run pods:\n{}", end_of(&lines))),
    }
}

/// Each of these is part of a line, in this order.
fn must_say(lines: &[String], wanted: &[&str]) -> Result<(), String> {
    let text = lines.join("\n");
    let mut rest = text.as_str();
    for part in wanted {
        let Some(at) = rest.find(part) else { return Err(format!("`{part}` is missing; the console ends:\n{}", end_of(lines))) };
        rest = &rest[at + part.len()..];
    }
    Ok(())
}

fn end_of(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(60)..].join("\n")
}
