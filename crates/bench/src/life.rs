//! The cluster as a whole: its file, its start, its cost when nothing happens.

use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::lab::{Lab, timed};
use crate::table::{Row, percentile};

const N_STARTS: usize = 5;
/// Until leases, caches and first compactions have come to rest.
const SETTLING: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_secs(60);

pub(crate) fn binary(lab: &Lab) -> Result<Vec<Row>> {
    let megabytes = std::fs::metadata(&lab.coracle)?.len() as f64 / 1e6;
    Ok(vec![Row::less_is_better("binary", "MB", Some(557.0), "≤ 40", megabytes)])
}

/// `up` answers when the node is Ready and the API serves.
pub(crate) fn up(lab: &Lab) -> Result<Vec<Row>> {
    let (cold, _) = timed(|| lab.coracle(&["up"]))?;
    let mut warm = Vec::new();
    for _ in 0..N_STARTS {
        lab.coracle(&["down"])?;
        warm.push(timed(|| lab.coracle(&["up"]))?.0);
    }
    Ok(vec![
        Row::less_is_better("`up`, first time", "s", Some(12.6), "≤ 3", cold),
        Row::less_is_better("`up`, warm, p50 of 5", "s", Some(12.6), "≤ 1.5", percentile(&warm, 0.5)),
    ])
}

/// System calls that sync are not counted by the kernel for each process; bytes sent to the disk are.
pub(crate) fn idle(lab: &Lab) -> Result<Vec<Row>> {
    lab.client()?;
    sleep(SETTLING);
    let (cpu, bytes) = (lab.server_cpu_seconds()?, lab.server_figure("io", "write_bytes")?);
    sleep(IDLE);
    let seconds = IDLE.as_secs_f64();
    let cpu_percent = (lab.server_cpu_seconds()? - cpu) / seconds * 100.0;
    let bytes_per_second = (lab.server_figure("io", "write_bytes")? - bytes) / seconds;
    let mebibytes = lab.server_figure("status", "VmRSS")? / 1024.0;
    Ok(vec![
        Row::less_is_better("idle 60 s: RSS", "MiB", Some(732.0), "≤ 60", mebibytes),
        Row::less_is_better("idle 60 s: CPU of a core", "%", Some(7.9), "≤ 1", cpu_percent),
        Row::less_is_better("idle 60 s: written to disk", "KB/s", Some(50.0), "-", bytes_per_second / 1e3),
    ])
}
