//! Review APIs, impersonation and what RBAC refuses.

use serde_json::{Value, json};

use crate::story::{Request, Story};

pub(super) fn stories() -> Vec<Story> {
    vec![access(), rights()]
}

fn access() -> Story {
    let mut story = Story::for_pods("reviews/access");
    let group = "/apis/authorization.k8s.io/v1";
    let ask = |name: &str, path: String, spec: Value| Request::new(name, "POST", path, json!({"spec": spec}).to_string());
    let all = || format!("{group}/subjectaccessreviews");
    story.add(ask("nothing", all(), json!({})));
    story.add(ask("no user", all(), json!({"resourceAttributes": {"verb": "get", "resource": "pods"}})));
    story.add(ask("both", all(), json!({"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}, "nonResourceAttributes": {"path": "/", "verb": "get"}})));
    story.add(ask("neither", all(), json!({"user": "u"})));
    story.add(ask("path", all(), json!({"user": "u", "nonResourceAttributes": {"path": "/version", "verb": "get"}})));
    story.add(ask(
        "path allowed",
        all(),
        json!({"user": "u", "groups": ["system:authenticated"], "nonResourceAttributes": {"path": "/version", "verb": "get"}}),
    ));
    story.add(ask(
        "masters",
        all(),
        json!({"user": "u", "groups": ["system:masters"], "resourceAttributes": {"verb": "*", "resource": "*", "group": "*"}}),
    ));
    story.add(ask("refused", all(), json!({"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "$(ns)"}})));
    story.add(ask("node", all(), json!({"user": "system:node:n", "groups": ["system:nodes"], "resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": "$(ns)", "name": "s"}})));
    story.add(ask(
        "node reads pods",
        all(),
        json!({"user": "system:node:n", "groups": ["system:nodes"], "resourceAttributes": {"verb": "list", "resource": "pods"}}),
    ));
    story.add(ask("controller", all(), json!({"user": "system:kube-scheduler", "resourceAttributes": {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "$(ns)"}})));
    story.add(ask("selectors", all(), json!({"user": "u", "resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]}, "labelSelector": {"rawSelector": "a=b"}}})));
    story.add(ask("selectors twice", all(), json!({"user": "u", "resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "x", "operator": "In"}]}}})));
    story.add(ask(
        "local",
        format!("{group}/namespaces/$(ns)/localsubjectaccessreviews"),
        json!({"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "$(ns)"}}),
    ));
    story.add(ask(
        "local elsewhere",
        format!("{group}/namespaces/$(ns)/localsubjectaccessreviews"),
        json!({"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}),
    ));
    story.add(ask(
        "local path",
        format!("{group}/namespaces/$(ns)/localsubjectaccessreviews"),
        json!({"user": "u", "nonResourceAttributes": {"verb": "get", "path": "/"}}),
    ));
    story.add(ask("self", format!("{group}/selfsubjectaccessreviews"), json!({"resourceAttributes": {"verb": "get", "resource": "pods"}})));
    story.add(ask("self nothing", format!("{group}/selfsubjectaccessreviews"), json!({})));
    story.add(ask("rules", format!("{group}/selfsubjectrulesreviews"), json!({"namespace": "$(ns)"})));
    story.add(ask("rules of nowhere", format!("{group}/selfsubjectrulesreviews"), json!({})));
    story.add(Request::new("self review", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}"));
    story.add(
        Request::new("self review by yaml", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}").accept("application/yaml"),
    );
    story.add(Request::new(
        "self review named",
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        r#"{"metadata":{"name":"x"}}"#,
    ));
    story.add(Request::new("token bad", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", r#"{"spec":{"token":"a.b.c"}}"#));
    story.add(Request::new("token empty", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", "{}"));
    story.add(Request::new(
        "token of an audience",
        "POST",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        r#"{"spec":{"token":"x","audiences":["a"]}}"#,
    ));
    for (name, header, value) in [
        ("user", "impersonate-user", "jane"),
        ("group alone", "impersonate-group", "g"),
        ("uid alone", "impersonate-uid", "u"),
        ("account", "impersonate-user", "system:serviceaccount:a:b"),
        ("anonymous", "impersonate-user", "system:anonymous"),
        ("extra alone", "impersonate-extra-x", "1"),
    ] {
        story.add(
            Request::new(format!("as {name}"), "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}").header(header, value),
        );
    }
    story.add(
        Request::new("as all", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}")
            .header("impersonate-user", "jane")
            .header("impersonate-group", "people")
            .header("impersonate-uid", "7")
            .header("impersonate-extra-scopes%2fx", "s"),
    );
    story
}

/// Requests of users who may little.
fn rights() -> Story {
    let mut story = Story::for_pods("reviews/rights");
    let jane = |request: Request| request.header("impersonate-user", "jane");
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/$(ns)";
    story.add(jane(Request::get("get", "/api/v1/namespaces/$(ns)/pods/p")));
    story.add(jane(Request::get("list", "/api/v1/namespaces/$(ns)/pods")));
    story.add(jane(Request::get("list all", "/api/v1/pods")));
    story.add(jane(Request::get("watch", "/api/v1/namespaces/$(ns)/pods?watch=true")));
    story.add(jane(Request::get("log", "/api/v1/namespaces/$(ns)/pods/p/log")));
    story.add(jane(Request::get("cluster", "/api/v1/nodes/n")));
    story.add(jane(Request::get("path", "/metrics")));
    story.add(jane(Request::get("unknown", "/apis/none/v1/things")));
    story.add(jane(Request::get("discovery", "/api")).header("impersonate-group", "none"));
    story.add(jane(Request::new("create", "POST", "/apis/apps/v1/namespaces/$(ns)/deployments", "{}")));
    story.add(jane(Request::new("delete collection", "DELETE", "/api/v1/namespaces/$(ns)/configmaps", "")));
    story.add(jane(Request::new("impersonate on", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}")));
    story.add(Request::new("role", "POST", format!("{rbac}/roles"), r#"{"metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list","create","patch"]},{"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles","rolebindings"],"verbs":["*"]}]}"#));
    story.add(Request::new("binding", "POST", format!("{rbac}/rolebindings"), r#"{"metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"jane"}]}"#));
    story.add(jane(Request::get("allowed", "/api/v1/namespaces/$(ns)/configmaps")).settled());
    story.add(jane(Request::get("not allowed", "/api/v1/namespaces/$(ns)/secrets")));
    story.add(jane(Request::patch(
        "apply creates",
        "apply",
        "/api/v1/namespaces/$(ns)/configmaps/m?fieldManager=x",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}"#,
    )));
    story.add(jane(Request::new("update not allowed", "PUT", "/api/v1/namespaces/$(ns)/configmaps/m", r#"{"metadata":{"name":"m"}}"#)));
    story.add(jane(Request::new("escalate", "POST", format!("{rbac}/roles"), r#"{"metadata":{"name":"e"},"rules":[{"apiGroups":[""],"resources":["secrets","configmaps"],"verbs":["get","delete"]},{"nonResourceURLs":["/x"],"verbs":["get"]}]}"#)));
    story.add(jane(Request::new(
        "within rights",
        "POST",
        format!("{rbac}/roles"),
        r#"{"metadata":{"name":"w"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}]}"#,
    )));
    story.add(jane(Request::new("bind more", "POST", format!("{rbac}/rolebindings"), r#"{"metadata":{"name":"m"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":[{"kind":"User","name":"jane"}]}"#)));
    story.add(jane(Request::new("bind same", "POST", format!("{rbac}/rolebindings"), r#"{"metadata":{"name":"s"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"joe"}]}"#)));
    story.add(jane(Request::new("bind none", "POST", format!("{rbac}/rolebindings"), r#"{"metadata":{"name":"n"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"none"},"subjects":[{"kind":"User","name":"joe"}]}"#)));
    story.add(
        Request::new("rules", "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", r#"{"spec":{"namespace":"$(ns)"}}"#)
            .header("impersonate-user", "jane"),
    );
    story.add(Request::put_last("role reference changes", format!("{rbac}/rolebindings/b"), vec![]));
    for name in [
        "admin",
        "edit",
        "view",
        "cluster-admin",
        "system:node",
        "system:discovery",
        "system:basic-user",
        "system:aggregate-to-view",
        "system:controller:deployment-controller",
        "system:kube-scheduler",
    ] {
        story.add(Request::get(format!("cluster role {name}"), format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}")));
    }
    story
}
