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

/// A cluster with an image to run, where that is possible.
fn started() -> Option<Lab> {
    if !is_possible() {
        return None;
    }
    let lab = Lab::new();
    lab.coracle(&["up"]);
    (lab.has_kubectl() && lab.build_box()).then_some(lab)
}

#[test]
fn pods_outlive_a_killed_server_and_nothing_outlives_a_reset() {
    let Some(lab) = started() else { return };
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

/// A cluster of its own name, ranges and ports in the network namespace of another.
struct Second<'l> {
    lab: &'l Lab,
    place: [String; 2],
}

impl Second<'_> {
    fn attempt(&self, words: &[&str]) -> std::process::Output {
        let place = self.place.each_ref().map(String::as_str);
        self.lab.attempt(Lab::coracle_program(), &[words, &place].concat())
    }

    fn coracle(&self, words: &[&str]) {
        let output = self.attempt(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Second<'_> {
    fn drop(&mut self) {
        self.attempt(&["reset"]);
    }
}

#[test]
fn two_clusters_stand_beside_each_other() {
    let Some(lab) = started() else { return };
    let second = Second { lab: &lab, place: ["--name=second".to_owned(), format!("--data-dir={}", lab.dir.join("second").display())] };
    let ports = ["up", "--api-port=7443", "--registry-port=33000", "--kubelet-port=11250"];
    let refusals: [(&[&str], &str); 2] = [(&[], "--pod-cidr"), (&["--pod-cidr=10.245.0.0/16,fd00:10:245::/56"], "--service-cidr")];
    for (more, flag) in refusals {
        let output = second.attempt(&[&ports, more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(flag) && said.contains(&format!("hint: {flag} ")), "{said}");
    }
    let ranges = ["--pod-cidr=10.245.0.0/16,fd00:10:245::/56", "--service-cidr=10.97.0.0/16,fd00:10:97::/112"];
    second.coracle(&[&ports[..], &ranges].concat());
    let context = lab.dir.join("box").display().to_string();
    second.coracle(&["build", "-t", "box:1", &context]);
    let contexts = ["coracle", "coracle-second"];
    for context in contexts {
        lab.kubectl(&format!("--context={context} run web --image=box:1 --port=8080 --expose -- httpd -f -p 8080 -h /bin"));
    }
    let is_served = |context: &str| {
        lab.until_works(&format!("--context={context} exec web -- wget -q -O /dev/null http://web:8080/busybox"));
        let ip = lab.kubectl(&format!("--context={context} get service web -o jsonpath={{.spec.clusterIP}}"));
        lab.run("busybox", &["wget", "-q", "-O", "/dev/null", &format!("http://{ip}:8080/sh")]);
    };
    contexts.into_iter().for_each(is_served);
    lab.coracle(&["reset"]);
    is_served("coracle-second");
}
