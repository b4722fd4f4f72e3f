//! Server-side apply in depth: lists by key, sets and atomic lists, subresources, defaults in keys, force, and coming from
//! client-side apply.

use serde_json::json;

use crate::seeds::subject;
use crate::story::{Edit, Request, Story};

pub(super) fn stories() -> Vec<Story> {
    vec![deployment(), service(), upgrade(), others()]
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/$(ns)/deployments/d";

fn apply(story: &mut Story, name: &str, path: &str, manager: &str, body: &str) {
    let divider = if path.contains('?') { '&' } else { '?' };
    story.add(Request::patch(name, "apply", format!("{path}{divider}fieldManager={manager}"), body));
}

fn deployment() -> Story {
    let mut story = Story::for_pods("own/deployment");
    let body = |spec: &str| format!(r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},"spec":{spec}}}"#);
    let containers = |text: &str| body(&format!(r#"{{"template":{{"spec":{{"containers":[{text}]}}}}}}"#));
    let rich = subject("apps/v1/deployments").rich("d").to_string();
    apply(&mut story, "create", DEPLOYMENT, "one", &rich);
    apply(&mut story, "same by another", DEPLOYMENT, "two", &rich);
    apply(&mut story, "replicas by another", DEPLOYMENT, "hpa", &body(r#"{"replicas":5}"#));
    apply(&mut story, "replicas forced", &format!("{DEPLOYMENT}?force=true"), "hpa", &body(r#"{"replicas":5}"#));
    apply(&mut story, "replicas again by the first", DEPLOYMENT, "one", &rich);
    apply(&mut story, "a container more", DEPLOYMENT, "side", &containers(r#"{"name":"side","image":"s"}"#));
    apply(
        &mut story,
        "an env more",
        DEPLOYMENT,
        "side",
        &containers(r#"{"name":"c","env":[{"name":"SIDE","value":"1"}]},{"name":"side","image":"s"}"#),
    );
    apply(&mut story, "an env of another", DEPLOYMENT, "side", &containers(r#"{"name":"c","env":[{"name":"A","value":"changed"}]}"#));
    apply(
        &mut story,
        "a port without protocol",
        DEPLOYMENT,
        "port",
        &containers(r#"{"name":"c","ports":[{"containerPort":80,"name":"other"}]}"#),
    );
    apply(
        &mut story,
        "a port with protocol",
        DEPLOYMENT,
        "port",
        &containers(r#"{"name":"c","ports":[{"containerPort":80,"protocol":"UDP","name":"udp"}]}"#),
    );
    apply(&mut story, "no container key", DEPLOYMENT, "side", &containers(r#"{"image":"s"}"#));
    apply(&mut story, "one container twice", DEPLOYMENT, "side", &containers(r#"{"name":"x","image":"s"},{"name":"x","image":"s"}"#));
    apply(&mut story, "an atomic list", DEPLOYMENT, "side", &containers(r#"{"name":"c","command":["sh"]}"#));
    apply(&mut story, "an atomic list by another", DEPLOYMENT, "third", &containers(r#"{"name":"c","command":["bash"]}"#));
    apply(&mut story, "the side goes", DEPLOYMENT, "side", r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"}}"#);
    apply(&mut story, "wrong type", DEPLOYMENT, "side", &body(r#"{"replicas":"many"}"#));
    apply(&mut story, "unknown field", DEPLOYMENT, "side", &body(r#"{"zz":1}"#));
    apply(&mut story, "other version", DEPLOYMENT, "side", r#"{"apiVersion":"apps/v9","kind":"Deployment","metadata":{"name":"d"}}"#);
    apply(&mut story, "other kind", DEPLOYMENT, "side", r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"d"}}"#);
    apply(&mut story, "other name", DEPLOYMENT, "side", r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"e"}}"#);
    apply(
        &mut story,
        "other namespace",
        DEPLOYMENT,
        "side",
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"other"}}"#,
    );
    apply(
        &mut story,
        "with uid",
        DEPLOYMENT,
        "side",
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","uid":"11111111-2222-3333-4444-555555555555"}}"#,
    );
    apply(
        &mut story,
        "stale",
        DEPLOYMENT,
        "side",
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","resourceVersion":"1"}}"#,
    );
    apply(
        &mut story,
        "status",
        &format!("{DEPLOYMENT}/status"),
        "kcm",
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"status":{"replicas":3,"conditions":[{"type":"Available","status":"True"}]}}"#,
    );
    apply(
        &mut story,
        "status of another",
        &format!("{DEPLOYMENT}/status"),
        "other",
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"status":{"replicas":4}}"#,
    );
    apply(&mut story, "spec at status", &format!("{DEPLOYMENT}/status"), "other", &body(r#"{"replicas":9}"#));
    apply(
        &mut story,
        "scale",
        &format!("{DEPLOYMENT}/scale"),
        "scaler",
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":7}}"#,
    );
    apply(
        &mut story,
        "scale forced",
        &format!("{DEPLOYMENT}/scale?force=true"),
        "scaler",
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":7}}"#,
    );
    story.add(Request::patch("scale merged", "merge", format!("{DEPLOYMENT}/scale?fieldManager=m"), r#"{"spec":{"replicas":8}}"#));
    story.add(Request::get("scale read", format!("{DEPLOYMENT}/scale")));
    story.add(Request::put_last("scale put", format!("{DEPLOYMENT}/scale"), vec![Edit::set("/spec/replicas", 2)]));
    story.add(Request::patch("scale negative", "merge", format!("{DEPLOYMENT}/scale"), r#"{"spec":{"replicas":-1}}"#));
    story.add(Request::get("result", DEPLOYMENT));
    story
}

fn service() -> Story {
    let mut story = Story::for_pods("own/service");
    let one = "/api/v1/namespaces/$(ns)/services/s";
    let body = |spec: &str| format!(r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s"}},"spec":{spec}}}"#);
    apply(
        &mut story,
        "create",
        one,
        "one",
        &body(r#"{"selector":{"app":"a"},"ports":[{"port":80},{"port":80,"protocol":"UDP","name":"u"}]}"#),
    );
    apply(
        &mut story,
        "create named",
        one,
        "one",
        &body(r#"{"selector":{"app":"a"},"ports":[{"port":80,"name":"t"},{"port":80,"protocol":"UDP","name":"u"}]}"#),
    );
    apply(&mut story, "a port of another", one, "two", &body(r#"{"ports":[{"port":443,"protocol":"TCP","name":"https"}]}"#));
    apply(&mut story, "an atomic map", one, "two", &body(r#"{"selector":{"app":"b"}}"#));
    apply(&mut story, "a port changes", one, "one", &body(r#"{"selector":{"app":"a"},"ports":[{"port":81,"name":"t"}]}"#));
    apply(&mut story, "ports twice", one, "one", &body(r#"{"ports":[{"port":81},{"port":81,"protocol":"TCP"}]}"#));
    apply(&mut story, "null", one, "one", &body("null"));
    apply(&mut story, "empty", one, "one", &body("{}"));
    story.add(Request::get("result", one));
    story
}

/// What kubectl does when an object of client-side apply is applied by the server.
fn upgrade() -> Story {
    let mut story = Story::for_pods("own/upgrade");
    let object = subject("apps/v1/deployments").minimal("d");
    let mut noted = object.clone();
    noted["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(format!("{object}\n"));
    story.add(Request::new(
        "client-side",
        "POST",
        "/apis/apps/v1/namespaces/$(ns)/deployments?fieldManager=kubectl-client-side-apply",
        noted.to_string(),
    ));
    let mut changed = object.clone();
    changed["spec"]["replicas"] = json!(2);
    story.add(Request::patch(
        "client-side again",
        "strategic-merge",
        format!("{DEPLOYMENT}?fieldManager=kubectl-client-side-apply"),
        r#"{"spec":{"replicas":2}}"#,
    ));
    apply(&mut story, "server-side", DEPLOYMENT, "kubectl", &object.to_string());
    apply(&mut story, "server-side changed", DEPLOYMENT, "kubectl", &changed.to_string());
    story.add(Request::patch(
        "migrated",
        "json",
        format!("{DEPLOYMENT}?fieldManager=x"),
        r#"[{"op":"replace","path":"/metadata/managedFields","value":[{"manager":"kubectl","operation":"Apply","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}}}]}]"#,
    ));
    apply(&mut story, "after migration", DEPLOYMENT, "kubectl", &object.to_string());
    story.add(Request::put_last("managers removed", DEPLOYMENT, vec![Edit::set("/metadata/managedFields", json!([]))]));
    story.add(Request::put_last(
        "managers wrong",
        DEPLOYMENT,
        vec![Edit::set(
            "/metadata/managedFields",
            json!([{"manager": "x", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}]),
        )],
    ));
    story.add(Request::put_last(
        "managers of an unknown version",
        DEPLOYMENT,
        vec![Edit::set(
            "/metadata/managedFields",
            json!([{"manager": "x", "operation": "Update", "apiVersion": "apps/v7", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]),
        )],
    ));
    story.add(Request::get("result", DEPLOYMENT));
    story
}

fn others() -> Story {
    let mut story = Story::for_pods("own/others");
    let pod = "/api/v1/namespaces/$(ns)/pods/p";
    apply(&mut story, "pod", pod, "one", &subject("/v1/pods").rich("p").to_string());
    apply(
        &mut story,
        "pod status",
        &format!("{pod}/status"),
        "kubelet",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"status":{"phase":"Running","podIPs":[{"ip":"192.0.2.1"}],"conditions":[{"type":"Ready","status":"True"}]}}"#,
    );
    apply(
        &mut story,
        "pod ephemeral",
        &format!("{pod}/ephemeralcontainers"),
        "debug",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"ephemeralContainers":[{"name":"e","image":"i"}]}}"#,
    );
    let map = "/api/v1/namespaces/$(ns)/configmaps/m";
    apply(&mut story, "yaml", map, "one", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  a: |\n    text\n  b: 'yes'\n");
    apply(
        &mut story,
        "yaml with anchors",
        map,
        "one",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, labels: &l {x: y}, annotations: *l}\n",
    );
    apply(&mut story, "yaml broken", map, "one", "a: [");
    apply(&mut story, "several documents", map, "one", "apiVersion: v1\nkind: ConfigMap\n---\na: b\n");
    apply(&mut story, "yaml doubled", map, "one", "apiVersion: v1\nkind: ConfigMap\ndata: {a: '1', a: '2'}\n");
    let strict = format!("{map}?fieldValidation=Strict");
    apply(&mut story, "yaml doubled strictly", &strict, "one", "apiVersion: v1\nkind: ConfigMap\ndata: {a: '1', a: '2'}\n");
    apply(&mut story, "unknown warns", map, "one", r#"{"apiVersion":"v1","kind":"ConfigMap","zz":1,"data":{"a":"1"}}"#);
    apply(&mut story, "data of wrong type", map, "one", r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"a":1}}"#);
    apply(&mut story, "null value", map, "one", r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"a":null}}"#);
    apply(&mut story, "finalizers", map, "one", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["example.com/a"]}}"#);
    apply(
        &mut story,
        "finalizers of two",
        map,
        "two",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["example.com/b"]}}"#,
    );
    apply(
        &mut story,
        "finalizers twice",
        map,
        "two",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["example.com/b","example.com/b"]}}"#,
    );
    apply(&mut story, "finalizers go", map, "one", r#"{"apiVersion":"v1","kind":"ConfigMap"}"#);
    apply(
        &mut story,
        "owners",
        map,
        "one",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"}]}}"#,
    );
    story.add(Request::get("result", map));
    story
}
