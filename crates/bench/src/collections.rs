//! Ten thousand ConfigMaps and ten thousand pods: what they cost to keep, to list and to delete.

use std::time::{Duration, Instant};

use bytes::Bytes;
use client::Client;
use http::{Method, header};
use http_body_util::BodyExt;
use serde_json::json;

use crate::Result;
use crate::lab::{Lab, timed};
use crate::load::{self, Answered, CONFIG_MAPS, Turn};
use crate::table::{Bar, Row, percentile};

const N: usize = 10_000;
const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const N_REPEATS: usize = 5;
const N_AT_ONCE: usize = 10;
const SETTLING: Duration = Duration::from_secs(15);

async fn create_config_map(turn: Turn) -> Answered {
    turn.client.create(CONFIG_MAPS, &load::config_map(&format!("o-{}", turn.i))).await
}

/// The pods name a scheduler that nobody runs.
async fn create_pod(turn: Turn) -> Answered {
    let mut spec = crate::load::load_spec();
    spec["schedulerName"] = "nobody".into();
    let labels = json!({"app": "load", "tier": "backend", "version": "v1"});
    let metadata = json!({"name": format!("o-{}", turn.i), "labels": labels});
    turn.client.create(PODS, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await
}

/// Sends a request and reads the answer to its end without keeping it; answers its length.
async fn drain(client: &Client, method: Method, path: &str, accept: &str) -> Result<usize> {
    let request = http::Request::builder().method(method).uri(path).header(header::ACCEPT, accept).body(Bytes::new())?;
    let mut body = client.send(request).await?.into_body();
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        len += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(len)
}

pub(crate) fn all(lab: &Lab) -> Result<Vec<Row>> {
    let clients = load::clients(lab, load::N_CLIENTS)?;
    load::in_parallel(lab, &clients, |i| i >= N, create_config_map)?;
    load::in_parallel(lab, &clients, |i| i >= N, create_pod)?;
    drop(clients);
    let filled = lab.server_mebibytes("VmRSS")?;
    // Upstream was measured after a restart.
    lab.restart()?;
    // The controllers read everything anew, after `up` has answered.
    std::thread::sleep(SETTLING);
    let client = lab.client()?;
    lab.runtime.block_on(drain(&client, Method::GET, "/version", JSON))?;
    let restarted = lab.server_mebibytes("VmRSS")?;
    let mut rows = vec![
        Row::new("10,000 ConfigMaps + 10,000 pods stored, server restarted: RSS", "MiB", Some(857.0), Bar::Share(6.0), restarted),
        Row::new("the same, in the server that took them in", "MiB", Some(1_280.0), Bar::Share(6.0), filled),
    ];
    for (name, accept, seconds, cpu, growth) in
        [("JSON", JSON, 0.92, 0.87, 119.0), ("protobuf", PROTOBUF, 0.35, 0.33, 95.0), ("table", TABLE, f64::NAN, f64::NAN, f64::NAN)]
    {
        rows.extend(list(lab, &client, name, accept, [seconds, cpu, growth].map(|figure| Some(figure).filter(|f| !f.is_nan())))?);
    }
    for (name, path, upstream) in [("ConfigMaps", CONFIG_MAPS, 37.5), ("pods", PODS, 114.0)] {
        let path = format!("{path}?gracePeriodSeconds=0");
        let (seconds, _) = timed(|| lab.runtime.block_on(drain(&client, Method::DELETE, &path, JSON)))?;
        rows.push(Row::new(format!("deletecollection of 10,000 {name}, one call"), "s", Some(upstream), Bar::Share(10.0), seconds));
    }
    Ok(rows)
}

fn list(lab: &Lab, client: &Client, name: &str, accept: &'static str, upstream: [Option<f64>; 3]) -> Result<Vec<Row>> {
    let [upstream_seconds, upstream_cpu, upstream_growth] = upstream;
    let bar = |upstream: Option<f64>, bar| if upstream.is_some() { bar } else { Bar::Less };
    let (mut seconds, cpu) = (Vec::new(), lab.server_cpu_seconds()?);
    let mut len = 0;
    for _ in 0..N_REPEATS {
        let (one, n) = timed(|| lab.runtime.block_on(drain(client, Method::GET, PODS, accept)))?;
        seconds.push(one);
        len = n;
    }
    let cpu = (lab.server_cpu_seconds()? - cpu) / N_REPEATS as f64;
    let others: Vec<Client> = (0..N_AT_ONCE).map(|_| lab.client()).collect::<Result<_>>()?;
    let before = lab.server_mebibytes("VmRSS")?;
    lab.forget_server_peak()?;
    let began = Instant::now();
    lab.runtime.block_on(async {
        let lists =
            others.into_iter().map(|client| async move { drain(&client, Method::GET, PODS, accept).await.map_err(|e| e.to_string()) });
        futures_util::future::try_join_all(lists.map(tokio::spawn)).await?.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
        Result::Ok(())
    })?;
    let at_once = began.elapsed().as_secs_f64();
    let growth = lab.server_mebibytes("VmHWM")? - before;
    let title = format!("LIST 10,000 pods, {name}, {:.1} MB", len as f64 / 1e6);
    Ok(vec![
        Row::new(
            format!("{title}: p50 of {N_REPEATS}"),
            "s",
            upstream_seconds,
            bar(upstream_seconds, Bar::Share(5.0)),
            percentile(&seconds, 0.5),
        ),
        Row::new("the same: server CPU", "s", upstream_cpu, bar(upstream_cpu, Bar::Share(5.0)), cpu),
        Row::new("ten at once: growth of the server's RSS at its peak", "MiB", upstream_growth, Bar::AtMost(19.0), growth),
        Row::new("ten at once: all done", "s", None, Bar::Less, at_once),
    ])
}
