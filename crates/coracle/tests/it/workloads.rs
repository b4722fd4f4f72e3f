//! The lines of the talk, typed into the real kubectl.

use crate::lab::Lab;

#[test]
fn deployments_scale_roll_and_go() {
    let Some(lab) = Lab::with_box() else { return };
    lab.kubectl("create deployment web --image=box:1 --replicas=1 -- sleep 1000");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("scale deployment/web --replicas=3");
    lab.until("get deployment web", |text| text.contains("3/3"));
    lab.kubectl("set image deployment/web box=box:none");
    lab.until("get pods", |text| text.contains("ErrImagePull") || text.contains("ImagePullBackOff"));
    lab.kubectl("rollout undo deployment/web");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("rollout restart deployment/web");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("delete deployment/web --timeout=60s");
    lab.until("get pods -o name", str::is_empty);
}

#[test]
fn pods_are_looked_into() {
    let Some(lab) = Lab::with_box() else { return };
    lab.kubectl("run talk --image=box:1 --restart=Never -- sh -c 'echo hello; sleep 1000'");
    lab.kubectl("wait --for=condition=Ready pod/talk --timeout=30s");
    lab.until("logs talk", |text| text == "hello\n");
    assert_eq!(lab.kubectl("exec talk -- echo from-inside"), "from-inside\n");
    assert!(lab.kubectl_error("exec talk -- sh -c 'exit 3'").contains("exit code 3"));
    assert!(lab.kubectl("describe pod talk").contains("Started"));
    assert!(lab.kubectl("get pods -o wide").contains("Running"));
    assert!(lab.kubectl_error("get pod nobody").contains("pods \"nobody\" not found"));
}

#[test]
fn services_are_found_by_name() {
    let Some(lab) = Lab::with_box() else { return };
    lab.kubectl("create deployment web --image=box:1 --replicas=2 -- httpd -f -p 8080 -h /bin");
    lab.kubectl("expose deployment web --port=80 --target-port=8080");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("run client --image=box:1 --restart=Never -- sleep 1000");
    lab.kubectl("wait --for=condition=Ready pod/client --timeout=30s");
    lab.until("exec client -- sh -c 'wget -q -O- http://web/sh | head -c4 | wc -c'", |text| text.trim() == "4");
    assert!(lab.kubectl("exec client -- nslookup kubernetes.default.svc.cluster.local").contains("10.96.0.1"));
}

#[test]
fn crashes_and_limits_are_told() {
    let Some(lab) = Lab::with_box() else { return };
    lab.kubectl("run crash --image=box:1 -- sh -c 'exit 7'");
    lab.until("get pod crash", |text| text.contains("CrashLoopBackOff") || text.contains("Error"));
    let code = lab.until("get pod crash -o jsonpath={..lastState.terminated.exitCode}", |text| !text.is_empty());
    assert_eq!(code, "7");
    let manifest = lab.write(
        "hungry.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: hungry}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: c\n    image: box:1\n    command: [sh, -c, 'x=a; while true; do x=$x$x; done']\n    resources: {limits: {memory: 32Mi}}\n",
    );
    lab.kubectl(&format!("apply -f {manifest}"));
    let reason = lab.until("get pod hungry -o jsonpath={..state.terminated.reason}", |text| !text.is_empty());
    assert_eq!(reason, "OOMKilled");
}

#[test]
fn shells_are_opened() {
    let Some(lab) = Lab::with_box() else { return };
    lab.kubectl("run talk --image=box:1 --restart=Never -- sh -c 'echo begun; sleep 1000'");
    lab.kubectl("wait --for=condition=Ready pod/talk --timeout=30s");
    let typed =
        |keys: &str, line: &str| lab.shell(&format!("printf '{keys}' | script -qec \"{} {line}\" /dev/null", lab.kubectl_program()));
    let said = typed("echo I am $((40 + 2))\\nexit\\n", "run -it --rm --image=box:1 --restart=Never shell -- sh");
    assert!(said.contains("I am 42") && said.contains("pod \"shell\" deleted"), "{said}");
    let said = typed("tty; stty size\\nexit\\n", "exec -it talk -- sh");
    assert!(said.contains("/dev/pts/0"), "{said}");

    let file = lab.write("letter", "dear pod\n");
    lab.kubectl(&format!("cp {file} talk:/letter"));
    assert_eq!(lab.kubectl("exec talk -- cat /letter"), "dear pod\n");

    lab.kubectl("debug talk --image=box:1 --container=doctor --target=talk -- sh -c 'ps; sleep 1000'");
    // There are no logs before there is a container, and `debug` waits for none.
    lab.until_works("logs talk -c doctor");
    lab.until("logs talk -c doctor", |text| text.contains("sleep 1000"));
    let node = lab.kubectl("get nodes -o jsonpath={.items[0].metadata.name}");
    lab.kubectl(&format!("debug node/{node} --image=box:1 -- ls /host/proc/self"));
    let debugger = lab.kubectl("get pods -o name").lines().find(|name| name.contains("node-debugger")).map(str::to_owned);
    let debugger = debugger.expect("a pod that looks into the node");
    lab.until_works(&format!("logs {debugger}"));
    lab.until(&format!("logs {debugger}"), |text| text.contains("mountinfo"));
}
