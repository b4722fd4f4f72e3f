//! Requests against the bootstrap policy and a few bindings; texts as a kube-apiserver 1.37.1 answered them.

use object::key::GroupVersionKind;
use serde_json::{Value, json};

use crate::bootstrap::{self, Reconciled};
use crate::rule::Rule;
use crate::{Attributes, NodeGraph, Rbac, UserInfo, aggregation, authorize, escalation};

fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo { name: name.to_owned(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..UserInfo::default() }
}

fn cluster() -> Rbac {
    let mut rbac = Rbac::default();
    for object in bootstrap::objects() {
        rbac.upsert(&object);
    }
    rbac
}

fn binding(kind: &str, namespace: &str, name: &str, role: &str, subject: Value) -> Value {
    let (role_kind, role) = role.split_once('/').unwrap();
    json!({"kind": kind, "metadata": {"namespace": namespace, "name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role}, "subjects": [subject]})
}

#[test]
fn bootstrap_objects_are_complete() {
    let objects = bootstrap::objects();
    let count = |kind: &str| objects.iter().filter(|o| o["kind"] == kind).count();
    assert_eq!((count("ClusterRole"), count("ClusterRoleBinding"), count("Role"), count("RoleBinding")), (73, 54, 7, 7));
    let find = |name: &str| objects.iter().find(|o| o["metadata"]["name"] == name).unwrap();
    assert_eq!(find("view")["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"], "true");
    assert_eq!(find("view")["rules"], Value::Null);
    assert_eq!(find("cluster-admin")["rules"][1], json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    for role in objects.iter().filter(|o| o["rules"].is_array()) {
        let rules: Vec<Value> = Rule::list_of(role).iter().map(Rule::to_value).collect();
        assert_eq!(Value::Array(rules), role["rules"]);
    }
}

/// `request` is `verb group/resource[/sub] [namespace/]name`, or `verb /path`.
#[track_caller]
fn check(rbac: &Rbac, nodes: &NodeGraph, who: &UserInfo, request: &str, expected: Result<&str, &str>) {
    let mut words = request.split(' ');
    let (verb, what) = (words.next().unwrap(), words.next().unwrap());
    let (namespace, name) = words.next().map_or(("", ""), |w| w.split_once('/').unwrap_or(("", w)));
    let selector: Vec<(String, String)> = words.filter_map(|w| w.split_once('=')).map(|(f, v)| (f.to_owned(), v.to_owned())).collect();
    let attributes = if what.starts_with('/') {
        Attributes::path(who, verb, what)
    } else {
        let mut parts = what.split('/');
        let (group, resource) = (parts.next().filter(|g| *g != "core").unwrap_or(""), parts.next().unwrap());
        let base = Attributes::resource(who, verb, group, "v1", resource).with_subresource(parts.next().unwrap_or(""));
        Attributes { field_selector: &selector, ..base.in_namespace(namespace).named(name) }
    };
    let verdict = authorize(nodes, rbac, &attributes);
    let refusal = attributes.forbidden(&verdict.reason).message;
    let got = if verdict.is_allowed() { Ok(verdict.reason.as_str()) } else { Err(refusal.as_str()) };
    assert_eq!(got, expected, "{request}");
}

#[test]
fn rbac_answers_as_upstream() {
    let mut rbac = cluster();
    let nodes = NodeGraph::default();
    let (bob, root) = (user("bob", &["system:authenticated"]), user("root", &["system:masters"]));
    check(&rbac, &nodes, &root, "delete apps/deployments x/y", Ok(""));
    let scheduler = user("system:kube-scheduler", &[]);
    check(&rbac, &nodes, &scheduler, "get /pods", Err(r#"forbidden: User "system:kube-scheduler" cannot get path "/pods""#));
    check(
        &rbac,
        &nodes,
        &bob,
        "get /livez",
        Ok(r#"RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated""#),
    );
    check(
        &rbac,
        &nodes,
        &bob,
        "list apps/deployments default/",
        Err(
            r#"deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" in the namespace "default""#,
        ),
    );
    check(
        &rbac,
        &nodes,
        &bob,
        "get apps/deployments/scale default/web",
        Err(
            r#"deployments.apps "web" is forbidden: User "bob" cannot get resource "deployments/scale" in API group "apps" in the namespace "default""#,
        ),
    );
    check(
        &rbac,
        &nodes,
        &bob,
        "list apps/deployments",
        Err(r#"deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" at the cluster scope"#),
    );
    rbac.upsert(&binding("ClusterRoleBinding", "", "lost", "ClusterRole/nope", json!({"kind": "User", "name": "bob"})));
    check(
        &rbac,
        &nodes,
        &bob,
        "list apps/deployments",
        Err(
            r#"deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" at the cluster scope: rbac: RBAC: clusterrole.rbac.authorization.k8s.io "nope" not found"#,
        ),
    );
    rbac.remove(&GroupVersionKind::new("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"), "", "lost");
    let account = json!({"kind": "ServiceAccount", "name": "sa"});
    rbac.upsert(&binding("RoleBinding", "dev", "edits", "ClusterRole/system:aggregate-to-edit", account));
    let sa = user("system:serviceaccount:dev:sa", &["system:serviceaccounts"]);
    check(
        &rbac,
        &nodes,
        &sa,
        "patch apps/deployments/scale dev/web",
        Ok(r#"RBAC: allowed by RoleBinding "edits/dev" of ClusterRole "system:aggregate-to-edit" to ServiceAccount "sa/dev""#),
    );
    let (rules, faults) = rbac.rules_for(&sa, "dev");
    assert!(rules.len() > 10 && faults.is_empty());
    assert_eq!(rbac.rules_review(&bob, "dev")["nonResourceRules"].as_array().unwrap().len(), 2);
}

#[test]
fn names_subresources_and_stars_match_as_upstream() {
    let mut rbac = Rbac::default();
    rbac.upsert(&json!({"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
        {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*/scale"]},
        {"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}]}));
    rbac.upsert(&binding("ClusterRoleBinding", "", "b", "ClusterRole/r", json!({"kind": "User", "name": "u"})));
    let u = user("u", &[]);
    let allowed = |verb: &str, resource: &str, sub: &str, name: &str| {
        rbac.authorize(&Attributes::resource(&u, verb, "", "v1", resource).with_subresource(sub).named(name)).is_allowed()
    };
    assert!(allowed("get", "pods", "", "a"));
    assert!(!allowed("get", "pods", "", "b") && !allowed("get", "pods", "log", "a") && !allowed("list", "pods", "", "a"));
    assert!(allowed("get", "things", "scale", "x") && !allowed("get", "things", "rescale", "x"));
    assert!(rbac.authorize(&Attributes::path(&u, "get", "/logs/a/b")).is_allowed());
    assert!(!rbac.authorize(&Attributes::path(&u, "get", "/log")).is_allowed());
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let mut rbac = cluster();
    rbac.upsert(&json!({"kind": "ClusterRole", "metadata": {"name": "some"}, "rules": [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]}));
    rbac.upsert(&binding("ClusterRoleBinding", "", "b", "ClusterRole/some", json!({"kind": "User", "name": "bob"})));
    let bob = user("bob", &["dev"]);
    let refused =
        |object: Value| escalation::check(&rbac, &bob, &object, None, &|a| rbac.authorize(a).is_allowed()).map_err(|status| status.message);
    let role = |rules: Value| json!({"kind": "ClusterRole", "metadata": {"name": "new"}, "rules": rules});
    assert_eq!(refused(role(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}]))), Ok(()));
    assert_eq!(
        refused(role(json!([{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "nodes"]}]))).unwrap_err(),
        "clusterroles.rbac.authorization.k8s.io \"new\" is forbidden: user \"bob\" (groups=[\"dev\"]) is attempting to grant RBAC permissions \
         not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"delete\"]}\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
    );
    let bind = |role: &str| binding("ClusterRoleBinding", "", "x", role, json!({"kind": "User", "name": "eve"}));
    assert_eq!(refused(bind("ClusterRole/some")), Ok(()));
    assert!(refused(bind("ClusterRole/cluster-admin")).unwrap_err().contains("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"));
    assert_eq!(refused(bind("ClusterRole/nope")).unwrap_err(), "clusterrole.rbac.authorization.k8s.io \"nope\" not found");
}

#[test]
fn aggregated_roles_gather_by_label() {
    let objects = bootstrap::objects();
    let roles = objects.iter().filter(|o| o["kind"] == "ClusterRole");
    let view = roles.clone().find(|o| o["metadata"]["name"] == "view").unwrap();
    let parts = roles.clone().find(|o| o["metadata"]["name"] == "system:aggregate-to-view").unwrap();
    assert_eq!(Value::Array(aggregation::gathered_rules(view, roles.clone()).unwrap()), parts["rules"]);
    assert_eq!(aggregation::gathered_rules(parts, roles), None);
}

#[test]
fn bootstrap_adds_what_lacks_and_respects_owners() {
    let objects = bootstrap::objects();
    let find = |kind: &str, name: &str| objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap();
    let wanted = find("ClusterRole", "system:node-proxier");
    assert_eq!(bootstrap::reconcile(wanted, wanted), Reconciled::UpToDate);
    let mut short = wanted.clone();
    let n_rules = short["rules"].as_array_mut().map(|rules| (rules.remove(0), rules.len() + 1)).unwrap().1;
    let Reconciled::Update(mended) = bootstrap::reconcile(wanted, &short) else { panic!("a rule lacks") };
    assert!(mended["rules"].as_array().unwrap().len() >= n_rules);
    short["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
    assert_eq!(bootstrap::reconcile(wanted, &short), Reconciled::UpToDate);
    let wanted = find("ClusterRoleBinding", "system:node-proxier");
    let mut other = wanted.clone();
    other["roleRef"]["name"] = json!("x");
    assert_eq!(bootstrap::reconcile(wanted, &other), Reconciled::Replace);
    let view = find("ClusterRole", "view");
    let mut filled = view.clone();
    filled["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    assert_eq!(bootstrap::reconcile(view, &filled), Reconciled::UpToDate);
}

#[test]
fn nodes_reach_only_what_their_pods_need() {
    let rbac = cluster();
    let mut nodes = NodeGraph::default();
    let pod = |node: &str| {
        json!({"kind": "Pod", "metadata": {"namespace": "ns", "name": "p", "uid": node}, "spec": {"nodeName": node, "serviceAccountName": "sa",
        "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}]}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}},
            {"name": "k", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}]}})
    };
    nodes.upsert(&pod("n1"));
    nodes.upsert(&json!({"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "ns", "name": "c"},
        "csi": {"nodeStageSecretRef": {"namespace": "other", "name": "stage"}}}}));
    let n1 = user("system:node:n1", &["system:nodes"]);
    for request in ["create authentication.k8s.io/tokenreviews", "update coordination.k8s.io/leases kube-node-lease/n1"] {
        check(&rbac, &nodes, &n1, request, Ok(""));
    }
    check(
        &rbac,
        &nodes,
        &n1,
        "get core/secrets ns/x",
        Err(
            r#"secrets "x" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the namespace "ns": node: no relationship found between node 'n1' and this object"#,
        ),
    );
    let core = |verb: &str, resource: &str, namespace: &str, name: &str, sub: &str| {
        let request = Attributes::resource(&n1, verb, "", "v1", resource).in_namespace(namespace).named(name).with_subresource(sub);
        let verdict = nodes.authorize(&request);
        if verdict.is_allowed() { "yes".to_owned() } else { verdict.reason }
    };
    let unrelated = "no relationship found between node 'n1' and this object";
    for (verb, resource, namespace, name, sub, expected) in [
        ("get", "secrets", "ns", "env", "", "yes"),
        ("watch", "secrets", "ns", "env", "", "yes"),
        ("get", "secrets", "other", "stage", "", "yes"),
        ("get", "secrets", "ns", "x", "", unrelated),
        ("delete", "secrets", "ns", "env", "", "can only read resources of this type"),
        ("get", "configmaps", "ns", "kube-root-ca.crt", "", "yes"),
        ("get", "persistentvolumeclaims", "ns", "c", "", "yes"),
        ("get", "persistentvolumeclaims", "ns", "p-e", "", "yes"),
        ("patch", "persistentvolumeclaims", "ns", "c", "status", "yes"),
        ("get", "persistentvolumes", "", "pv", "", "yes"),
        ("create", "serviceaccounts", "ns", "sa", "token", "yes"),
        ("create", "serviceaccounts", "ns", "other", "token", unrelated),
        ("get", "pods", "ns", "p", "", "yes"),
        ("list", "pods", "", "", "", "can only list/watch pods with spec.nodeName field selector"),
        ("patch", "pods", "ns", "p", "status", "yes"),
        ("get", "nodes", "", "n1", "", "yes"),
        ("get", "nodes", "", "n2", "", "node 'n1' cannot read 'n2', only its own Node object"),
        ("patch", "nodes", "", "n1", "status", "yes"),
        ("delete", "nodes", "", "n1", "", ""),
        ("create", "events", "ns", "", "", "yes"),
        ("create", "deployments", "ns", "", "", ""),
    ] {
        assert_eq!(core(verb, resource, namespace, name, sub), expected, "{verb} {resource} {namespace}/{name} {sub}");
    }
    let selector = [("spec.nodeName".to_owned(), "n1".to_owned())];
    assert!(nodes.authorize(&Attributes { field_selector: &selector, ..Attributes::resource(&n1, "list", "", "v1", "pods") }).is_allowed());
    nodes.upsert(&pod("n2"));
    let secret = Attributes::resource(&n1, "get", "", "v1", "secrets").in_namespace("ns").named("env");
    assert!(!nodes.authorize(&secret).is_allowed());
    nodes.remove(&GroupVersionKind::new("", "v1", "Pod"), "ns", "p");
    let n2 = user("system:node:n2", &["system:nodes"]);
    assert!(!nodes.authorize(&Attributes { user: &n2, ..secret }).is_allowed());
}
