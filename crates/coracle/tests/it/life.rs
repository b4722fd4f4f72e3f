//! Starting, crashing, stopping, leaving nothing behind.

use crate::lab::{Lab, is_possible};

#[test]
fn the_demo_works() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    let told = lab.coracle(&["demo"]);
    assert!(told.contains("a new pod is ready") && told.contains("and 0 were not"), "{told}");
}

#[test]
fn pods_outlive_a_killed_server_and_nothing_outlives_a_reset() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    lab.coracle(&["up"]);
    if !lab.has_kubectl() || !lab.build_box() {
        return;
    }
    lab.kubectl("run counter --image=box:1 --restart=Never -- sleep 1000");
    lab.until("get pod counter -o jsonpath={.status.phase}", |phase| phase == "Running");
    let container = lab.kubectl("get pod counter -o jsonpath={.status.containerStatuses[0].containerID}");

    lab.run("kill", &["-9", &lab.server_pid()]);
    lab.coracle(&["up"]);
    lab.until("get pod counter -o jsonpath={.status.phase}", |phase| phase == "Running");
    assert_eq!(lab.kubectl("get pod counter -o jsonpath={.status.containerStatuses[0].containerID}"), container);
    assert_eq!(lab.kubectl("get pod counter -o jsonpath={.status.containerStatuses[0].restartCount}"), "0");

    let links_before = lab.run("ip", &["-o", "link"]);
    assert!(links_before.contains("cor"), "{links_before}");
    lab.coracle(&["down"]);
    lab.coracle(&["up"]);
    lab.coracle(&["reset"]);
    let links = lab.run("ip", &["-o", "link"]);
    assert!(!links.contains("cor"), "{links}");
    assert!(!lab.run("ip", &["route"]).contains("10.96"), "routes stay");
    assert!(!lab.dir.join("data").exists());
    let mounts = lab.run("cat", &["/proc/self/mounts"]);
    assert!(!mounts.contains(&lab.dir.display().to_string()), "{mounts}");
}

#[test]
fn up_is_harmless_when_repeated() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    assert!(lab.coracle(&["up"]).contains("is ready"));
    assert!(lab.coracle(&["up"]).contains("was running already"));
    assert!(lab.coracle(&["status"]).contains("Ready"));
    let second = lab.attempt(env!("CARGO_BIN_EXE_coracle"), &["server"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("already served by process"), "{said}");
}
