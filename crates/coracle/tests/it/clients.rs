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

#[test]
fn the_python_client_is_content() {
    let Some(modules) = fetched("python") else { return };
    let Some(lab) = lab() else { return };
    let said = lab.run("env", &[&format!("PYTHONPATH={}", modules.display()), "python3", &source("python/client.py")]);
    assert!(said.ends_with("the Python client is content\n"), "{said}");
}

#[test]
fn the_javascript_client_is_content() {
    let Some(modules) = fetched("javascript") else { return };
    let Some(lab) = lab() else { return };
    let said = lab.run("env", &[&format!("CLIENT_MODULES={}", modules.display()), "node", &source("javascript/client.mjs")]);
    assert!(said.ends_with("the JavaScript client is content\n"), "{said}");
}

#[test]
fn client_go_is_content() {
    let Some(program) = fetched("go-client") else { return };
    let Some(lab) = lab() else { return };
    let said = lab.run(&program.display().to_string(), &[]);
    assert!(said.ends_with("client-go is content with application/vnd.kubernetes.protobuf\n"), "{said}");
}

#[test]
fn kube_rs_is_content() {
    let Some(program) = fetched("rust/bin/rust-client") else { return };
    let Some(lab) = lab() else { return };
    let said = lab.run(&program.display().to_string(), &[]);
    assert!(said.ends_with("kube-rs is content\n"), "{said}");
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
