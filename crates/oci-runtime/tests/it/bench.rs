//! Latencies and memory: `cargo test --release -p oci-runtime --test it -- bench`. Nothing is compared; the figures are for people.

use std::fs;
use std::time::{Duration, Instant};

use oci_runtime::runtime::Runtime;
use oci_runtime::status::SandboxState;

use crate::node::Node;

const N_RUNS: usize = 60;

pub(crate) fn run() {
    let node = Node::new();
    println!("load {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    let names = ["sandbox", "create", "start", "first instruction", "exec", "stop and remove"];
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let mut whole = Vec::new();
    for n in 0..N_RUNS {
        let config = node.sandbox_config(&format!("bench-{n}"));
        let begin = Instant::now();
        let sandbox = node.wait(node.runtime.run_pod_sandbox(config)).expect("a sandbox");
        let after_sandbox = begin.elapsed();
        let id = node.create(&sandbox, node.container_config("echo up; exec sleep 1000"));
        let after_create = begin.elapsed();
        node.wait(node.runtime.start_container(&id)).expect("starts");
        let after_start = begin.elapsed();
        while !node.raw_log(&id).contains("up") {
            std::thread::yield_now();
        }
        let after_output = begin.elapsed();
        node.wait(node.runtime.exec_sync(&id, vec!["/bin/true".into()], None)).expect("runs");
        let after_exec = begin.elapsed();
        node.wait(node.runtime.remove_pod_sandbox(&sandbox)).expect("removed");
        let spans = [
            after_sandbox,
            after_create - after_sandbox,
            after_start - after_create,
            after_output - after_start,
            after_exec - after_output,
            begin.elapsed() - after_exec,
        ];
        times.iter_mut().zip(spans).for_each(|(all, span)| all.push(span.as_secs_f64() * 1e3));
        whole.push(after_output.as_secs_f64() * 1e3);
    }
    names.iter().zip(&mut times).for_each(|(name, times)| report(name, times));
    report("whole pod, asked to first output", &mut whole);
    report("30 pods at once, all running", &mut (0..5).map(|n| at_once(&node, n).as_secs_f64() * 1e3).collect::<Vec<_>>());
    memory(&node);
    println!("load {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

fn report(name: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("{name:34} min {:7.2}  p50 {:7.2}  p90 {:7.2}  max {:7.2} ms", at(0.0), at(0.5), at(0.9), at(1.0));
}

fn at_once(node: &Node, round: usize) -> Duration {
    let begin = Instant::now();
    let starts: Vec<_> = node.wait(async {
        let all = (0..30).map(|n| {
            let (runtime, sandbox) = (node.runtime.clone(), node.sandbox_config(&format!("many-{round}-{n}")));
            let config = node.container_config("exec sleep 1000");
            tokio::spawn(async move {
                let sandbox = runtime.run_pod_sandbox(sandbox).await.expect("a sandbox");
                let id = runtime.create_container(&sandbox, config).await.expect("a container");
                runtime.start_container(&id).await.expect("starts");
                sandbox
            })
        });
        let mut sandboxes = Vec::new();
        for start in all.collect::<Vec<_>>() {
            sandboxes.push(start.await.expect("no panic"));
        }
        sandboxes
    });
    let span = begin.elapsed();
    for sandbox in &starts {
        node.wait(node.runtime.remove_pod_sandbox(sandbox)).expect("removed");
    }
    span
}

/// Of a shim among several, with a running container that has written something.
fn memory(node: &Node) {
    let sandboxes: Vec<_> = (0..5).map(|n| node.sandbox(&format!("memory-{n}"))).collect();
    for sandbox in &sandboxes {
        let id = node.start(sandbox, node.container_config("seq 1 10000; exec sleep 1000"));
        node.await_log(&id, " 10000\n");
    }
    let SandboxState::Ready { shim_pid, .. } = node.runtime.pod_sandbox_status(&sandboxes[2]).expect("known").state else { return };
    let rollup = fs::read_to_string(format!("/proc/{shim_pid}/smaps_rollup")).expect("readable");
    let wanted = ["Rss:", "Pss:", "Private_Clean:", "Private_Dirty:"];
    let lines: Vec<&str> = rollup.lines().filter(|line| wanted.iter().any(|key| line.starts_with(key))).collect();
    println!(
        "shim memory: {}",
        lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
    );
}
