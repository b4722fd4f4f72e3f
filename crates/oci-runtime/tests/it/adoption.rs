//! The runtime's process dies, pods live on; a shim dies, its pod does not.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use oci_runtime::runtime::{Event, Runtime};
use oci_runtime::spec::ContainerId;
use oci_runtime::status::{ContainerState, ContainerStatus, ExitReason, SandboxState};

use crate::Test;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[
    ("adoption::pods_outlive_a_killed_runtime", pods_outlive_a_killed_runtime),
    ("adoption::exits_while_nobody_watches_are_told_later", exits_while_nobody_watches_are_told_later),
    ("adoption::created_containers_are_found_again", created_containers_are_found_again),
    ("adoption::a_killed_shim_takes_its_pod_along", a_killed_shim_takes_its_pod_along),
    ("adoption::a_successor_is_not_harmed_by_its_predecessors_end", a_successor_is_not_harmed_by_its_predecessors_end),
    ("adoption::what_died_with_its_shim_is_settled_on_opening", what_died_with_its_shim_is_settled_on_opening),
];

/// Argument of this binary when it is the runtime that gets killed.
pub(crate) const ABANDON: &str = "run-a-pod-until-killed";

/// Starts a pod in the directory and cgroup given, says so, and waits to be killed.
pub(crate) fn abandon(args: &[String]) -> ! {
    let node = Node::open(PathBuf::from(&args[0]), args[1].clone());
    let sandbox = node.sandbox("orphan");
    let mut config = node.container_config("while :; do n=$((n+1)); echo $n; sleep 0.002; done");
    config.labels.insert("role".into(), "counter".into());
    node.start(&sandbox, config);
    println!("ready");
    loop {
        std::thread::park();
    }
}

fn spawn_doomed(directory: &std::path::Path, cgroup: &str) -> Child {
    let mut child = Command::new("/proc/self/exe")
        .args([ABANDON, &directory.display().to_string(), cgroup])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    child
}

fn only_container(node: &Node) -> ContainerStatus {
    let mut containers = node.runtime.list_containers();
    assert_eq!(containers.len(), 1);
    containers.remove(0)
}

fn pods_outlive_a_killed_runtime() {
    let (directory, cgroup) = Node::new().abandon();
    let mut doomed = spawn_doomed(&directory, &cgroup);
    doomed.kill().expect("killed");
    doomed.wait().expect("gone");
    let node = Node::open(directory, cgroup);
    let sandboxes = node.runtime.list_pod_sandboxes();
    assert_eq!(sandboxes.len(), 1);
    assert!(matches!(sandboxes[0].state, SandboxState::Ready { .. }));
    assert_eq!(sandboxes[0].metadata.uid, "orphan");
    let status = only_container(&node);
    assert_eq!(status.labels["role"], "counter");
    assert!(matches!(status.state, ContainerState::Running { .. }) && status.user.is_some());
    assert_eq!(node.ask(&status.id, "echo joined"), "joined");
    let seen: u32 = node.log(&status.id).lines().last().and_then(|line| line.parse().ok()).expect("a number");
    node.await_log(&status.id, &format!(" {}\n", seen + 20));
    node.wait(node.runtime.stop_container(&status.id, 9, std::time::Duration::ZERO)).expect("stops");
    let numbers: Vec<u32> = node.log(&status.id).lines().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| *number == at as u32 + 1), "no gap in the log");
}

fn exits_while_nobody_watches_are_told_later() {
    let node = Node::new();
    let sandbox = node.sandbox("away");
    let mut config = node.container_config("echo ready; read line; exit 17");
    (config.stdin, config.stdin_once) = (true, true);
    let id = node.start(&sandbox, config);
    let directory = node.directory.clone();
    // The one attached holds the input's only end, so the container ends with this process's interest in it.
    let session = node.wait(node.runtime.attach(&id)).expect("attached");
    let (_, cgroup) = node.abandon();
    drop(session);
    await_journal(&directory, &id, "Exited");
    let node = Node::open(directory, cgroup);
    let exit = node.exit(&id);
    assert_eq!((exit.code, exit.reason), (17, ExitReason::Error));
    assert_eq!(node.log(&id), "ready");
}

/// The shim writes an end down after telling it; this process no longer hears it.
fn await_journal(directory: &std::path::Path, id: &ContainerId, word: &str) {
    let deadline = std::time::Instant::now() + crate::node::PATIENCE;
    loop {
        let sandboxes = std::fs::read_dir(directory.join("run/sandboxes")).expect("readable").flatten();
        let journals = sandboxes.map(|entry| entry.path().join("containers").join(&id.0).join("journal"));
        if journals.filter_map(|path| std::fs::read_to_string(path).ok()).any(|text| text.contains(word)) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "nothing written");
        std::thread::yield_now();
    }
}

fn created_containers_are_found_again() {
    let node = Node::new();
    let sandbox = node.sandbox("created");
    let id = node.create(&sandbox, node.container_config("echo late start"));
    let (directory, cgroup) = node.abandon();
    let node = Node::open(directory, cgroup);
    assert_eq!(node.runtime.container_status(&id).expect("known").state, ContainerState::Created);
    node.wait(node.runtime.start_container(&id)).expect("starts");
    assert_eq!(node.exit(&id).code, 0);
    assert_eq!(node.log(&id), "late start");
}

fn kill_shim(node: &Node) {
    let SandboxState::Ready { shim_pid, .. } = node.runtime.list_pod_sandboxes()[0].state else { panic!("not ready") };
    let pid = rustix::process::Pid::from_raw(shim_pid as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}

fn process_exists(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn a_killed_shim_takes_its_pod_along() {
    let node = Node::new();
    let mut config = node.sandbox_config("doomed");
    config.namespaces.pid = oci_runtime::spec::PidMode::Pod;
    let sandbox = node.wait(node.runtime.run_pod_sandbox(config)).expect("a sandbox");
    let id = node.start(&sandbox, node.container_config("exec sleep 1000"));
    let ContainerState::Running { pid, .. } = node.runtime.container_status(&id).expect("known").state else { panic!("not running") };
    let mut events = node.runtime.events();
    kill_shim(&node);
    let exit = node.exit(&id);
    assert_eq!((exit.code, exit.reason), (255, ExitReason::Unknown));
    node.wait(async { while !matches!(events.recv().await.expect("an event"), Event::SandboxLost { .. }) {} });
    assert_eq!(node.runtime.pod_sandbox_status(&sandbox).expect("known").state, SandboxState::NotReady);
    assert!(!process_exists(pid));
    node.wait(node.runtime.remove_pod_sandbox(&sandbox)).expect("removed");
    crate::cleanup::assert_no_traces(&node);
}

fn what_died_with_its_shim_is_settled_on_opening() {
    let node = Node::new();
    let sandbox = node.sandbox("crash");
    let ended = node.start(&sandbox, node.container_config("exit 4"));
    node.exit(&ended);
    let running = node.start(&sandbox, node.container_config("exec sleep 1000"));
    let ContainerState::Running { pid, .. } = node.runtime.container_status(&running).expect("known").state else { panic!("not running") };
    await_journal(&node.directory, &ended, "Exited");
    await_journal(&node.directory, &running, "Running");
    let SandboxState::Ready { shim_pid, .. } = node.runtime.list_pod_sandboxes()[0].state else { panic!("not ready") };
    let (directory, cgroup) = node.abandon();
    let shim = rustix::process::Pid::from_raw(shim_pid as i32).expect("a process");
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).expect("killed");
    let _ = rustix::process::waitpid(Some(shim), rustix::process::WaitOptions::empty());
    let node = Node::open(directory, cgroup);
    assert_eq!(node.exit(&ended).code, 4);
    assert_eq!((node.exit(&running).code, node.exit(&running).reason), (255, ExitReason::Unknown));
    assert!(!process_exists(pid));
    assert_eq!(node.runtime.pod_sandbox_status(&sandbox).expect("known").state, SandboxState::NotReady);
}

/// Both sandboxes of a pod have its cgroup.
fn a_successor_is_not_harmed_by_its_predecessors_end() {
    let node = Node::new();
    let first = node.sandbox("same");
    let lost = node.start(&first, node.container_config("exec sleep 1000"));
    kill_shim(&node);
    node.exit(&lost);
    let second = node.sandbox("same");
    let id = node.start(&second, node.container_config("exec sleep 1000"));
    let is_running = |node: &Node| matches!(node.runtime.container_status(&id).expect("known").state, ContainerState::Running { .. });
    let (directory, cgroup) = node.abandon();
    let node = Node::open(directory, cgroup);
    assert!(is_running(&node));
    node.wait(node.runtime.remove_pod_sandbox(&first)).expect("removed");
    assert_eq!(node.ask(&id, "echo alive"), "alive");
    assert!(is_running(&node) && node.runtime.sandbox_stats(&second).is_ok());
}
