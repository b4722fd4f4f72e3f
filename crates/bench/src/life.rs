//! The cluster as a whole: its file, its start, its cost when nothing happens.

use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use client::Client;
use http_body_util::BodyExt;

use crate::Result;
use crate::lab::{Lab, timed};
use crate::table::{Bar, Row, percentile};

const N_STARTS: usize = 5;
/// Until leases, caches and first compactions have come to rest.
const SETTLING: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(180);

pub(crate) fn binary(lab: &Lab) -> Result<Vec<Row>> {
    let megabytes = std::fs::metadata(&lab.coracle)?.len() as f64 / 1e6;
    Ok(vec![Row::new("binary, stripped", "MB", Some(557.0), Bar::AtMost(40.0), megabytes)])
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
        Row::new("`up`, first time", "s", Some(12.6), Bar::AtMost(3.0), cold),
        Row::new("`up`, warm, p50 of 5", "s", Some(12.6), Bar::AtMost(1.5), percentile(&warm, 0.5)),
    ])
}

pub(crate) fn idle(lab: &Lab) -> Result<Vec<Row>> {
    let client = lab.client()?;
    sleep(SETTLING);
    let (syncs, cpu) = (n_syncs(lab, &client)?, lab.server_cpu_seconds()?);
    sleep(IDLE);
    let seconds = IDLE.as_secs_f64();
    let cpu_percent = (lab.server_cpu_seconds()? - cpu) / seconds * 100.0;
    let mebibytes = lab.server_mebibytes("VmRSS")?;
    let syncs_per_second = (n_syncs(lab, &client)? - syncs) / seconds;
    Ok(vec![
        Row::new("idle 3 minutes: RSS", "MiB", Some(732.0), Bar::AtMost(60.0), mebibytes),
        Row::new("idle 3 minutes: CPU of a core", "%", Some(7.9), Bar::AtMost(1.0), cpu_percent),
        Row::new("idle 3 minutes: syncs of the store", "/s", Some(3.2), Bar::AtMost(2.0), syncs_per_second),
    ])
}

/// The server counts its own: the kernel does not count a process's syncs.
fn n_syncs(lab: &Lab, client: &Client) -> Result<f64> {
    let text = lab.runtime.block_on(async {
        let response = client.send(http::Request::get("/metrics").body(Bytes::new())?).await?;
        Result::Ok(response.into_body().collect().await?.to_bytes())
    })?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("coracle_store_syncs_total "));
    Ok(line.ok_or("the server does not say how often it synced")?.parse()?)
}
