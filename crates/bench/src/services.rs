//! The service network with many services: how long a change of one endpoint takes to be felt.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use client::Client;
use object::Value;
use object::plan::PatchKind;
use serde_json::json;

use crate::Result;
use crate::lab::{Lab, PATIENCE};
use crate::load::{self, Answered, Turn};
use crate::table::{Bar, Row, percentile};

const N_SERVICES: usize = 5_000;
const N_ENDPOINTS: usize = 10;
const N_CHANGES: usize = 11;
/// Prime to the number of services, so that changes fall all over them.
const STRIDE: usize = 389;
const PORT: u16 = 7_000;
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const ANSWER_TIME_MAX: Duration = Duration::from_millis(300);

/// Addresses of the block that is set aside for benchmarks; the last one is the newcomer.
fn address(i: usize) -> String {
    format!("198.18.0.{}", i + 1)
}

/// A service and its slice each have two numbers in their addresses, so that nobody has to ask for them.
fn cluster_ip(i: usize) -> String {
    format!("10.96.{}.{}", 100 + i / 200, i % 200 + 1)
}

fn service(i: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s-{i}")},
        "spec": {"clusterIP": cluster_ip(i), "ports": [{"name": "p", "port": 80, "targetPort": PORT}]},
    })
}

fn endpoints(addresses: impl Iterator<Item = String>) -> Value {
    addresses.map(|address| json!({"addresses": [address], "conditions": {"ready": true, "serving": true}})).collect()
}

fn slice(i: usize) -> Value {
    let labels = json!({"kubernetes.io/service-name": format!("s-{i}"), "endpointslice.kubernetes.io/managed-by": "bench"});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": format!("s-{i}"), "labels": labels},
        "addressType": "IPv4", "ports": [{"name": "p", "port": PORT, "protocol": "TCP"}],
        "endpoints": endpoints((0..N_ENDPOINTS).map(address)),
    })
}

/// Answers every connection with one word.
fn listen(address: &str, word: &'static [u8]) -> Result<()> {
    let added = Command::new("ip").args(["addr", "add", &format!("{address}/32"), "dev", "lo"]).status()?;
    if !added.success() {
        return Err(format!("{address} could not be added").into());
    }
    let listener = TcpListener::bind(format!("{address}:{PORT}"))?;
    std::thread::spawn(move || listener.incoming().flatten().for_each(|mut stream| drop(stream.write_all(word))));
    Ok(())
}

fn answer_of(address: SocketAddr) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let mut word = String::new();
        stream.read_to_string(&mut word)?;
        Ok(word)
    };
    ask().unwrap_or_default()
}

/// Seconds until the service answers with the word.
fn until_answered(i: usize, word: &str) -> Result<f64> {
    let address = format!("{}:80", cluster_ip(i)).parse()?;
    let began = Instant::now();
    while answer_of(address) != word {
        if began.elapsed() > PATIENCE {
            return Err(format!("{address} does not answer `{word}`").into());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn create_one(turn: Turn) -> Answered {
    turn.client.create::<Value>(SERVICES, &service(turn.i)).await?;
    turn.client.create(SLICES, &slice(turn.i)).await
}

pub(crate) fn endpoint_change(lab: &Lab) -> Result<Vec<Row>> {
    for i in 0..=N_ENDPOINTS {
        listen(&address(i), if i < N_ENDPOINTS { b"old" } else { b"new" })?;
    }
    let clients = load::clients(lab, 16)?;
    let began = Instant::now();
    load::in_parallel(lab, &clients, |i| i >= N_SERVICES, create_one)?;
    let created = began.elapsed().as_secs_f64();
    let last = until_answered(N_SERVICES - 1, "old")?;
    for i in 0..N_SERVICES {
        until_answered(i, "old")?;
    }
    let (mut whole, mut after_write) = (Vec::new(), Vec::new());
    for turn in 0..N_CHANGES {
        // Until nothing of the change before is under way.
        std::thread::sleep(Duration::from_millis(300));
        let i = turn * STRIDE % N_SERVICES;
        let began = Instant::now();
        lab.runtime.block_on(replace(&clients[0], i))?;
        after_write.push(until_answered(i, "new")? * 1e3);
        whole.push(began.elapsed().as_secs_f64() * 1e3);
    }
    // Planning and kernel alone are what netd says of them.
    lab.restart_saying("debug")?;
    let client = lab.client()?;
    until_answered(N_SERVICES - 1, "old")?;
    let n_before = logged(lab)?.len();
    for turn in 0..N_CHANGES {
        std::thread::sleep(Duration::from_millis(300));
        let i = (turn * STRIDE + 1) % N_SERVICES;
        lab.runtime.block_on(replace(&client, i))?;
        until_answered(i, "new")?;
    }
    let planning_and_kernel = logged(lab)?.split_off(n_before);
    Ok(vec![
        Row::new("5,000 services x 10 endpoints: created", "s", Some(124.5), Bar::Less, created),
        Row::new("the same: last one answers after its creation", "s", Some(1.5), Bar::Less, last),
        Row::new("one endpoint changed: the new one answers, p50 of 11", "ms", Some(187.0), Bar::AtMost(10.0), percentile(&whole, 0.5)),
        Row::new("the same, from the write's answer", "ms", None, Bar::Less, percentile(&after_write, 0.5)),
        Row::new("planning and kernel of it, p50", "ms", None, Bar::AtMost(2.0), percentile(&planning_and_kernel, 0.5) / 1e3),
    ])
}

/// Microseconds that each change of the kernel's rules took, with its planning.
fn logged(lab: &Lab) -> Result<Vec<f64>> {
    lab.logged("network brought up to date", "micros")
}

async fn replace(client: &Client, i: usize) -> Answered {
    let patch = json!({"endpoints": endpoints(std::iter::once(address(N_ENDPOINTS)))});
    client.patch(&format!("{SLICES}/s-{i}"), PatchKind::Merge, &patch).await
}
