//! What is removed leaves nothing: no process, mount, cgroup or file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use oci_runtime::runtime::Runtime;
use oci_runtime::spec::PidMode;

use crate::Test;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[
    ("cleanup::a_removed_sandbox_leaves_nothing", a_removed_sandbox_leaves_nothing),
    ("cleanup::a_sandbox_that_cannot_stand_leaves_nothing", a_sandbox_that_cannot_stand_leaves_nothing),
];

/// Everything of a node that the machine shows, one fact a line.
fn traces(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    found.extend(mounts.lines().filter(|line| line.contains(&*node.directory.to_string_lossy())).map(|line| format!("mount {line}")));
    let processes = fs::read_dir("/proc").expect("readable").flatten();
    for process in processes {
        let Ok(line) = fs::read(process.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with("coracle-shim") && line.contains(&*node.directory.to_string_lossy()) {
            found.push(format!("process {line}"));
        }
        let cgroups = fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
        if cgroups.contains(&format!("{}/pods", node.cgroup)) {
            found.push(format!("process in our cgroup {line}"));
        }
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").expect("readable").flatten() {
        let pods = hierarchy.path().join(&node.cgroup[1..]).join("pods");
        found.extend(
            fs::read_dir(pods)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path().is_dir())
                .map(|entry| format!("cgroup {:?}", entry.path())),
        );
    }
    let sandboxes = fs::read_dir(node.directory.join("run/sandboxes")).expect("readable").flatten();
    found.extend(sandboxes.map(|entry| format!("file {:?}", entry.path())));
    found
}

/// A shim says that it is done just before it ends, and a dead process is reaped a moment later.
pub(crate) fn assert_no_traces(node: &Node) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !traces(node).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:#?}", traces(node));
        std::thread::yield_now();
    }
}

fn a_removed_sandbox_leaves_nothing() {
    let node = Node::new();
    for pid in [PidMode::Container, PidMode::Pod, PidMode::Host] {
        let mut config = node.sandbox_config("gone");
        config.namespaces.pid = pid;
        config.resolv_conf = Some("nameserver 10.0.0.1\n".into());
        let sandbox = node.wait(node.runtime.run_pod_sandbox(config)).expect("a sandbox");
        let script = "trap '' TERM; (setsid sleep 1000 &) ; mkdir -p /a/b; touch /a/b/c; while :; do sleep 1; done";
        let id = node.start(&sandbox, node.container_config(script));
        node.start(&sandbox, node.container_config("exit 1"));
        node.ask(&id, "sleep 1000 >/dev/null 2>&1 &");
        node.create(&sandbox, node.container_config("true"));
        assert!(!traces(&node).is_empty());
        assert!(traces(&node).iter().all(|trace| !trace.starts_with("mount")), "a pod is in no mount table but its own");
        node.wait(node.runtime.remove_pod_sandbox(&sandbox)).expect("removed");
        assert_no_traces(&node);
        assert!(node.runtime.list_containers().is_empty());
    }
    assert!(Path::new(&node.directory).join("logs").exists(), "logs are the caller's");
}

fn a_sandbox_that_cannot_stand_leaves_nothing() {
    let node = Node::new();
    let mut config = node.sandbox_config("never");
    config.sysctls.insert("net.ipv4.no_such_thing".into(), "1".into());
    let error = node.wait(node.runtime.run_pod_sandbox(config)).expect_err("no such sysctl");
    assert!(error.to_string().contains("set sysctl `net.ipv4.no_such_thing`"), "{error}");
    let mut config = node.sandbox_config("never");
    config.sysctls.insert("../../etc/passwd".into(), "1".into());
    let error = node.wait(node.runtime.run_pod_sandbox(config)).expect_err("no sysctl at all");
    assert!(error.to_string().contains("is not a sysctl"), "{error}");
    assert!(node.runtime.list_pod_sandboxes().is_empty());
    assert_no_traces(&node);
}
