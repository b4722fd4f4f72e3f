//! Real clients of other makes: what their programs do with a cluster, they do with this one. `cargo xtask clients` fetches them.

use std::path::{Path, PathBuf};

use crate::lab::{Lab, is_possible};

fn fetched(client: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients").join(client);
    if !path.exists() {
        eprintln!("skipped: no {client}; `cargo xtask clients` fetches it");
    }
    path.canonicalize().ok()
}

fn source(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(path).display().to_string()
}

/// A cluster with the image `box:1`.
fn lab() -> Option<Lab> {
    if !is_possible() {
        return None;
    }
    let lab = Lab::new();
    lab.coracle(&["up"]);
    lab.build_box().then_some(lab)
}

/// What was `fetched` for a client is turned into its command, whose last words are `content`.
#[track_caller]
fn check(fetched_name: &str, command: impl Fn(String) -> Vec<String>, content: &str) {
    let Some(program) = fetched(fetched_name) else { return };
    let Some(lab) = lab() else { return };
    let command = command(program.display().to_string());
    let arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
    let said = lab.run(&command[0], &arguments);
    assert!(said.ends_with(&format!("{content}\n")), "{said}");
}

fn words(words: [&str; 4]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[test]
fn the_python_client_is_content() {
    let command = |modules: String| words(["env", &format!("PYTHONPATH={modules}"), "python3", &source("python/client.py")]);
    check("python", command, "the Python client is content");
}

#[test]
fn the_javascript_client_is_content() {
    let command = |modules: String| words(["env", &format!("CLIENT_MODULES={modules}"), "node", &source("javascript/client.mjs")]);
    check("javascript", command, "the JavaScript client is content");
}

#[test]
fn client_go_is_content() {
    check("go-client", |program| vec![program], "client-go is content with application/vnd.kubernetes.protobuf");
}

#[test]
fn kube_rs_is_content() {
    check("rust/bin/rust-client", |program| vec![program], "kube-rs is content");
}

#[test]
fn helm_installs_upgrades_and_goes_back() {
    for helm in ["helm", "helm-3"] {
        let Some(program) = fetched(helm) else { return };
        let Some(lab) = lab() else { return };
        let home = format!("HOME={}", lab.dir.display());
        let run = |args: &[&str]| lab.run("env", &[&[home.as_str(), &program.display().to_string()], args].concat());
        let chart = source("chart");
        run(&["install", "web", &chart, "--wait", "--timeout", "60s"]);
        run(&["test", "web", "--timeout", "60s"]);
        run(&["upgrade", "web", &chart, "--set", "motto=second,replicas=1", "--wait", "--timeout", "60s"]);
        run(&["test", "web", "--timeout", "60s"]);
        assert!(run(&["get", "values", "web"]).contains("motto: second"));
        run(&["rollback", "web", "1", "--wait", "--timeout", "60s"]);
        run(&["test", "web", "--timeout", "60s"]);
        let history = run(&["history", "web"]);
        assert!(history.contains("Rollback to 1") && history.matches("superseded").count() == 2, "{history}");
        assert!(run(&["get", "manifest", "web"]).contains("replicas: 2"));
        run(&["uninstall", "web", "--wait", "--timeout", "60s"]);
        assert!(!run(&["list", "--all-namespaces"]).contains("web"));
    }
}

#[test]
fn an_old_kubectl_is_content() {
    let Some(program) = fetched("kubectl-1.31") else { return };
    let Some(lab) = lab() else { return };
    let run = |args: &[&str]| lab.run(&program.display().to_string(), args);
    run(&["create", "deployment", "web", "--image=box:1", "--replicas=2", "--", "sh", "-c", "echo served; exec httpd -f -p 8080 -h /bin"]);
    run(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    run(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]);
    run(&["scale", "deployment/web", "--replicas=1"]);
    run(&["wait", "--for=jsonpath={.status.readyReplicas}=1", "deployment/web", "--timeout=60s"]);
    assert!(run(&["explain", "deployment.spec.replicas"]).contains("replicas"));
    assert!(run(&["get", "deployments,services", "-o", "wide"]).contains("box:1"));
    assert!(run(&["logs", "deployment/web"]).contains("served"));
    assert_eq!(run(&["exec", "deployment/web", "--", "echo", "inside"]), "inside\n");
    let manifest = lab.write("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {a: b}\n");
    assert!(run(&["apply", "-f", &manifest]).contains("map created"));
    assert!(run(&["apply", "-f", &manifest]).contains("map unchanged"));
    assert!(run(&["apply", "--server-side", "--force-conflicts", "-f", &manifest]).contains("map serverside-applied"));
    assert!(run(&["diff", "-f", &manifest]).is_empty());
    run(&["delete", "deployment,service", "web", "--timeout=60s"]);
}
