//! What a server must bear: being killed at the worst moment, and a disk without room.

use crate::lab::{Lab, is_possible};

/// Killed while a container ends, a command runs in another, and pods are being made, each time a little later.
#[test]
fn a_server_may_be_killed_at_any_moment() {
    let Some(lab) = Lab::with_box() else { return };
    lab.kubectl("run talker --image=box:1 --restart=Never -- sh -c 'i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done'");
    lab.kubectl("wait --for=condition=Ready pod/talker --timeout=30s");
    let container = "get pod talker -o jsonpath={.status.containerStatuses[0].containerID}/{.status.containerStatuses[0].restartCount}";
    let before = lab.kubectl(container);
    for (turn, milliseconds) in [0, 40, 120, 300].into_iter().enumerate() {
        lab.kubectl(&format!("run ends-{turn} --image=box:1 --restart=Never -- sh -c 'sleep 0.5; exit 7'"));
        let _open = lab.start_kubectl("exec talker -- sleep 1000");
        lab.kubectl(&format!("create deployment made-{turn} --image=box:1 --replicas=3 -- sleep 1000"));
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        lab.run("kill", &["-9", &lab.server_pid()]);
        lab.coracle(&["up"]);
        lab.kubectl(&format!("rollout status deployment/made-{turn} --timeout=60s"));
        let code = lab.until(&format!("get pod ends-{turn} -o jsonpath={{..state.terminated.exitCode}}"), |text| !text.is_empty());
        assert_eq!(code, "7");
    }
    assert_eq!(lab.kubectl(container), before);
    let logs = lab.kubectl("logs talker");
    let told: Vec<usize> = logs.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(told.len() > 10 && told.iter().enumerate().all(|(i, n)| *n == i + 1), "a gap: {told:?}");
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    let dir = lab.dir.display();
    lab.shell(&format!("mount -t tmpfs -o size=96m tmpfs {dir}"));
    lab.coracle(&["up"]);
    if !lab.has_kubectl() {
        return;
    }
    lab.shell(&format!(
        "head -c 1000000 /dev/zero | tr '\\0' x > {dir}/large; dd if=/dev/zero of={dir}/ballast bs=64k 2> /dev/null || true"
    ));
    // The store has some room set aside.
    let kubectl = lab.kubectl_program();
    let said = lab.shell(&format!(
        "for i in $(seq 100); do {kubectl} create configmap large-$i --from-file={dir}/large 2>&1 > /dev/null || exit 0; done; echo all fit"
    ));
    assert!(said.contains("database space exceeded"), "{said}");
    assert!(lab.kubectl("get configmap large-1 -o name").contains("large-1"));
    lab.shell(&format!("rm {dir}/ballast"));
    lab.until_works("create configmap after");
    lab.coracle(&["down"]);
    lab.coracle(&["up"]);
    assert!(lab.kubectl("get configmap after -o name").contains("after"));
}
