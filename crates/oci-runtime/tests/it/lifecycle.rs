//! Starting, ending, logging.

use std::time::{Duration, Instant};

use oci_runtime::runtime::{Error, Event, Runtime};
use oci_runtime::spec::{PidMode, Rootfs};
use oci_runtime::status::{ContainerState, ExitReason, SandboxState};

use crate::Test;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[
    ("lifecycle::a_command_runs_and_its_exit_is_told", a_command_runs_and_its_exit_is_told),
    ("lifecycle::exit_codes_and_signals_are_kept_apart", exit_codes_and_signals_are_kept_apart),
    ("lifecycle::output_becomes_a_log", output_becomes_a_log),
    ("lifecycle::a_log_is_reopened_after_rotation", a_log_is_reopened_after_rotation),
    ("lifecycle::stopping_asks_first_and_kills_then", stopping_asks_first_and_kills_then),
    ("lifecycle::failed_starts_say_why", failed_starts_say_why),
    ("lifecycle::calls_may_be_repeated", calls_may_be_repeated),
    ("lifecycle::containers_of_a_pod_share_what_they_should", containers_of_a_pod_share_what_they_should),
    ("lifecycle::memory_beyond_the_limit_ends_a_container", memory_beyond_the_limit_ends_a_container),
    ("lifecycle::thirty_pods_start_at_once", thirty_pods_start_at_once),
];

fn a_command_runs_and_its_exit_is_told() {
    let node = Node::new();
    let mut events = node.runtime.events();
    let sandbox = node.sandbox("one");
    let status = node.runtime.pod_sandbox_status(&sandbox).expect("known");
    assert!(matches!(status.state, SandboxState::Ready { .. }));
    assert_eq!(status.metadata.uid, "one");
    let id = node.start(&sandbox, node.container_config("cat /etc/layer; hostname; exit 3"));
    let exit = node.exit(&id);
    assert_eq!((exit.code, exit.reason, exit.signal), (3, ExitReason::Error, None));
    assert_eq!(node.log(&id), "top\npod-one");
    let told = [events.blocking_recv().expect("an event"), events.blocking_recv().expect("an event")];
    assert!(matches!(&told[0], Event::ContainerStarted { container, .. } if *container == id));
    assert!(matches!(&told[1], Event::ContainerExited { container, exit: told, .. } if *container == id && *told == exit));
}

fn exit_codes_and_signals_are_kept_apart() {
    let node = Node::new();
    let sandbox = node.sandbox("codes");
    for (script, code, reason) in [
        ("true", 0, ExitReason::Completed),
        ("exit 255", 255, ExitReason::Error),
        ("sleep 1000 & kill -9 $!; wait $!; exit $?", 137, ExitReason::Error),
    ] {
        let (exit, _) = node.run(&sandbox, node.container_config(script));
        assert_eq!((exit.code, exit.reason, exit.signal), (code, reason, None), "{script}");
    }
    let id = node.start(&sandbox, node.container_config("exec sleep 1000"));
    node.wait(node.runtime.stop_container(&id, 9, Duration::ZERO)).expect("stops");
    let exit = node.exit(&id);
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

fn output_becomes_a_log() {
    let node = Node::new();
    let sandbox = node.sandbox("log");
    let id = node.start(&sandbox, node.container_config("echo out; sleep 0.05; echo err >&2; sleep 0.05; echo -n rest"));
    node.exit(&id);
    let text = node.raw_log(&id);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(4, ' ').collect()).collect();
    let parts: Vec<&[&str]> = lines.iter().map(|line| &line[1..]).collect();
    assert_eq!(parts, [["stdout", "F", "out"], ["stderr", "F", "err"], ["stdout", "P", "rest"]]);
    assert!(lines.iter().all(|line| line[0].len() == 30 && line[0].ends_with('Z')), "{text}");
    let (_, log) = node.run(&sandbox, node.container_config("seq 1 50000"));
    assert_eq!(log.lines().count(), 50_000);
    assert_eq!(log.lines().last(), Some("50000"));
}

fn a_log_is_reopened_after_rotation() {
    let node = Node::new();
    let sandbox = node.sandbox("rotate");
    let mut config = node.container_config("echo before; read x; echo after; exec sleep 1000");
    config.stdin = true;
    let id = node.start(&sandbox, config);
    node.await_log(&id, "before");
    let path = node.runtime.container_status(&id).expect("known").log_path;
    std::fs::rename(&path, path.with_extension("1")).expect("renamed");
    node.wait(node.runtime.reopen_container_log(&id)).expect("reopened");
    let mut session = node.wait(node.runtime.attach(&id)).expect("attached");
    node.wait(async { tokio::io::AsyncWriteExt::write_all(session.stdin.as_mut().expect("stdin"), b"go\n").await }).expect("written");
    node.await_log(&id, "after");
    assert!(!node.raw_log(&id).contains("before"));
}

fn stopping_asks_first_and_kills_then() {
    let node = Node::new();
    let sandbox = node.sandbox("stop");
    let polite = node.start(&sandbox, node.container_config("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"));
    node.await_log(&polite, "ready");
    node.wait(node.runtime.stop_container(&polite, 15, Duration::from_secs(30))).expect("stops");
    assert_eq!(node.exit(&polite).code, 7);
    assert_eq!(node.log(&polite), "ready\nbye");
    let deaf = node.start(&sandbox, node.container_config("trap '' TERM; echo ready; while :; do sleep 0.01; done"));
    node.await_log(&deaf, "ready");
    let before = Instant::now();
    node.wait(node.runtime.stop_container(&deaf, 15, Duration::from_millis(300))).expect("stops");
    assert!(before.elapsed() >= Duration::from_millis(300));
    assert_eq!(node.exit(&deaf).code, 137);
}

fn failed_starts_say_why() {
    let node = Node::new();
    let sandbox = node.sandbox("bad");
    let check = |change: &dyn Fn(&mut oci_runtime::spec::ContainerConfig), expected: &str| {
        let mut config = node.container_config("true");
        change(&mut config);
        let id = node.create(&sandbox, config);
        match node.wait(node.runtime.start_container(&id)) {
            Err(Error::StartFailed(message)) => assert!(message.contains(expected), "{message}"),
            other => panic!("{other:?}"),
        }
        let exit = node.exit(&id);
        assert_eq!((exit.code, exit.reason), (128, ExitReason::StartError));
        assert!(exit.message.contains(expected));
        node.wait(node.runtime.remove_container(&id)).expect("removed");
    };
    check(&|config| config.args = vec!["nosuch".into()], "exec: \"nosuch\": executable file not found in $PATH");
    check(&|config| config.args = vec!["/nosuch".into()], "exec: \"/nosuch\": stat /nosuch: no such file or directory");
    check(&|config| config.args = vec!["/etc/passwd".into()], "exec: \"/etc/passwd\": permission denied");
    check(&|config| config.user.user = "nobody".into(), "unable to find user nobody: no matching entries in passwd file");
    check(&|config| config.rootfs = Rootfs::Overlay { layers: vec!["/nosuch/layer".into()] }, "mount the image's layers");
    let mut empty = node.container_config("true");
    empty.args.clear();
    assert!(matches!(node.wait(node.runtime.create_container(&sandbox, empty)), Err(Error::Invalid(_))));
    assert_eq!(node.output(&sandbox, "echo still fine"), "still fine");
}

fn calls_may_be_repeated() {
    let node = Node::new();
    let sandbox = node.sandbox("again");
    let id = node.start(&sandbox, node.container_config("exec sleep 1000"));
    assert!(matches!(node.wait(node.runtime.start_container(&id)), Err(Error::WrongState(_))));
    for _ in 0..2 {
        node.wait(node.runtime.stop_container(&id, 15, Duration::ZERO)).expect("stops");
    }
    for _ in 0..2 {
        node.wait(node.runtime.remove_container(&id)).expect("removed");
    }
    assert!(matches!(node.runtime.container_status(&id), Err(Error::NotFound { .. })));
    for _ in 0..2 {
        node.wait(node.runtime.stop_pod_sandbox(&sandbox)).expect("stops");
    }
    assert_eq!(node.runtime.pod_sandbox_status(&sandbox).expect("known").state, SandboxState::NotReady);
    assert!(matches!(node.wait(node.runtime.create_container(&sandbox, node.container_config("true"))), Err(Error::WrongState(_))));
    for _ in 0..2 {
        node.wait(node.runtime.remove_pod_sandbox(&sandbox)).expect("removed");
    }
}

fn containers_of_a_pod_share_what_they_should() {
    let node = Node::new();
    let sandbox = node.sandbox("share");
    let first = node.start(&sandbox, node.container_config("echo hello > /dev/shm/word; exec sleep 1000"));
    let second = node.start(&sandbox, node.container_config("exec sleep 1000"));
    assert_eq!(node.ask(&second, "while ! [ -s /dev/shm/word ]; do :; done; cat /dev/shm/word"), "hello");
    let namespaces = |id| node.ask(id, "cd /proc/self/ns; ls -l net ipc uts | grep -o '[a-z]*:\\[[0-9]*'");
    assert_eq!(namespaces(&first), namespaces(&second));
    assert_eq!(namespaces(&first).lines().count(), 3);
    assert_eq!(node.ask(&second, "ps -o comm | grep -c '^sleep'"), "1", "each container has its own processes");
    assert_eq!(node.ask(&second, "cat /etc/hostname"), "pod-share");
    assert!(node.ask(&second, "ip addr show lo").contains("127.0.0.1/8"));

    let mut config = node.container_config("ps; kill -TERM 1; sleep 1000 &");
    config.process_namespace_of = Some(first.clone());
    let (exit, seen) = node.run(&sandbox, config);
    assert!(exit.code == 0 && seen.contains("1 root") && seen.contains("sleep 1000"), "a debugger sees its target: {seen}");

    let mut config = node.sandbox_config("together");
    config.namespaces.pid = PidMode::Pod;
    config.sysctls.insert("net.ipv4.ip_local_port_range".into(), "20000 30000".into());
    config.resolv_conf = Some("nameserver 10.96.0.10\n".into());
    let together = node.wait(node.runtime.run_pod_sandbox(config)).expect("a sandbox");
    let first = node.start(&together, node.container_config("exec sleep 1001"));
    let second = node.start(&together, node.container_config("exec sleep 1002"));
    let seen = node.ask(&second, "ps; cat /proc/sys/net/ipv4/ip_local_port_range /etc/resolv.conf");
    for text in ["sleep 1001", "sleep 1002", "20000\t30000", "nameserver 10.96.0.10"] {
        assert!(seen.contains(text), "{text}: {seen}");
    }
    node.wait(node.runtime.stop_container(&first, 15, Duration::ZERO)).expect("stops");
    assert!(!node.ask(&second, "ps").contains("sleep 1001"));
    assert!(matches!(node.runtime.container_status(&second).expect("known").state, ContainerState::Running { .. }));
}

fn memory_beyond_the_limit_ends_a_container() {
    let node = Node::new();
    let sandbox = node.sandbox("oom");
    let mut config = node.container_config("exec dd if=/dev/zero of=/dev/null bs=64M count=100");
    config.resources.memory_limit_bytes = Some(16 << 20);
    let (exit, _) = node.run(&sandbox, config);
    assert_eq!((exit.code, exit.reason, exit.signal), (137, ExitReason::OomKilled, Some(9)));
}

fn thirty_pods_start_at_once() {
    let node = Node::new();
    let before = Instant::now();
    let ids = node.wait(async {
        let starts = (0..30).map(|n| {
            let (runtime, sandbox) = (node.runtime.clone(), node.sandbox_config(&format!("many-{n}")));
            let config = node.container_config("echo up; exec sleep 1000");
            tokio::spawn(async move {
                let sandbox = runtime.run_pod_sandbox(sandbox).await.expect("a sandbox");
                let id = runtime.create_container(&sandbox, config).await.expect("a container");
                runtime.start_container(&id).await.expect("starts");
                id
            })
        });
        let mut ids = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            ids.push(start.await.expect("no panic"));
        }
        ids
    });
    println!("     30 pods running after {:?}", before.elapsed());
    ids.iter().for_each(|id| node.await_log(id, "up"));
}
