//! A thousand watchers of one namespace's ConfigMaps, and one writer as fast as it can.

use std::time::{Duration, Instant};

use bytes::Bytes;
use client::Client;
use http::{Method, header};
use http_body_util::BodyExt;
use object::Value;

use crate::Result;
use crate::lab::{Lab, PATIENCE};
use crate::load::{self, CONFIG_MAPS};
use crate::table::{Bar, Row, percentile};

const N_WATCHERS: usize = 1_000;
const N_PER_CONNECTION: usize = 80;
const N_WRITES: usize = 500;
/// Stands before the time of writing, in nanoseconds since the measure began, and 12 digits follow.
const MARK: &[u8] = b"TS=";
const N_DIGITS: usize = 12;

pub(crate) fn all(lab: &Lab) -> Result<Vec<Row>> {
    let connections = load::clients(lab, N_WATCHERS.div_ceil(N_PER_CONNECTION))?;
    let writer = lab.client()?;
    let outcome = lab.runtime.block_on(async {
        let list: Value = writer.get(&format!("{CONFIG_MAPS}?limit=1")).await?;
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}");
        let epoch = Instant::now();
        let mut watchers = Vec::new();
        for i in 0..N_WATCHERS {
            let request = http::Request::builder().method(Method::GET).uri(&path).header(header::ACCEPT, "application/json");
            let body = connections[i / N_PER_CONNECTION].send(request.body(Bytes::new())?).await?.into_body();
            watchers.push(tokio::spawn(read(body, epoch)));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let cpu = lab.server_cpu_seconds()?;
        let began = Instant::now();
        write(&writer, epoch).await?;
        let lags = tokio::time::timeout(PATIENCE, futures_util::future::join_all(watchers)).await;
        let lags = lags.map_err(|_| "not all events arrived in time")?;
        let mut all = Vec::with_capacity(N_WATCHERS * N_WRITES);
        for one in lags {
            all.extend(one?.map_err(|e| e.to_string())?);
        }
        Result::Ok((all, began.elapsed().as_secs_f64(), lab.server_cpu_seconds()? - cpu))
    });
    let (lags, seconds, cpu) = outcome?;
    let n_events = lags.len() as f64;
    Ok(vec![
        Row::new("1,000 watchers x 500 writes: events", "/s", Some(10_000.0), Bar::Times(5.0), n_events / seconds),
        Row::new("the same: lag, p99", "ms", Some(350.0), Bar::Share(5.0), percentile(&lags, 0.99)),
        Row::new("the same: server CPU per event", "µs", Some(68.0), Bar::Less, cpu * 1e6 / n_events),
    ])
}

async fn write(client: &Client, epoch: Instant) -> Result<()> {
    for i in 0..N_WRITES {
        let mut object = load::config_map(&format!("seen-{i}"));
        let text = object["data"]["data"].as_str().unwrap_or("");
        let stamped = format!("TS={:0N_DIGITS$}{}", epoch.elapsed().as_nanos(), &text[MARK.len() + N_DIGITS..]);
        object["data"]["data"] = Value::from(stamped);
        client.create::<Value>(CONFIG_MAPS, &object).await?;
    }
    Ok(())
}

/// Milliseconds between each write and its arrival here. Events may lie across pieces of the body; what is kept is short.
async fn read(mut body: client::transport::Body, epoch: Instant) -> std::result::Result<Vec<f64>, client::Error> {
    let mut lags = Vec::with_capacity(N_WRITES);
    let mut rest: Vec<u8> = Vec::new();
    while lags.len() < N_WRITES {
        let Some(frame) = body.frame().await else { break };
        let frame = frame?;
        let Some(piece) = frame.data_ref() else { continue };
        let now = epoch.elapsed().as_nanos() as f64;
        rest.extend_from_slice(piece);
        let mut done = 0;
        while let Some(at) = rest[done..].windows(MARK.len()).position(|window| window == MARK) {
            let digits = done + at + MARK.len();
            let Some(text) = rest.get(digits..digits + N_DIGITS) else { break };
            let written: f64 = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).unwrap_or(0.0);
            lags.push((now - written) / 1e6);
            done = digits + N_DIGITS;
        }
        let kept = rest.len().saturating_sub(MARK.len() + N_DIGITS).max(done);
        rest.drain(..kept);
    }
    Ok(lags)
}
