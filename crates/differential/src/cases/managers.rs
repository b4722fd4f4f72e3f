//! Stories of several managers of one object: who comes to own what, who loses it, and what goes with whom.

mod teller;

use serde_json::json;

use crate::story::{Edit, Request, Story};
use teller::Teller;

pub(super) fn stories() -> Vec<Story> {
    vec![
        maps(),
        sets(),
        ports(),
        volumes(),
        services(),
        atoms(),
        conditions(),
        updates(),
        many_updates(),
        resets(),
        client_side(),
        scales("deployments", "Deployment", "apps/v1"),
        scales("statefulsets", "StatefulSet", "apps/v1"),
        scales("replicationcontrollers", "ReplicationController", "v1"),
        autoscalers(),
        events(),
        nothings(),
        doubles(),
        secrets(),
        dry_runs(),
    ]
}

fn maps() -> Story {
    let mut t = Teller::new("maps", "v1", "ConfigMap", "configmaps");
    t.apply("creates", "a", r#""data":{"x":"1","y":"2"}"#);
    t.apply("shares one and adds one", "b", r#""data":{"y":"2","z":"3"}"#);
    t.apply("disagrees", "b", r#""data":{"y":"5"}"#);
    t.apply("gives up the shared one", "a", r#""data":{"x":"1"}"#);
    t.apply("changes what is now its own", "b", r#""data":{"y":"5","z":"3"}"#);
    t.force("takes it", "c", r#""data":{"y":"6"}"#);
    t.apply("changes others", "b", r#""data":{"z":"4"}"#);
    t.apply("gives up all", "c", "");
    t.apply("gives up the map", "b", "");
    t.name("labels", "a", r#""labels":{"l":"1","m":"1"}"#);
    t.name("annotates", "b", r#""annotations":{"n":"1"},"labels":{"l":"1"}"#);
    t.name("drops a label", "a", r#""labels":{"m":"2"}"#);
    t.name("drops the last", "b", "");
    t.apply("says a map twice", "d", r#""binaryData":{"b":"AQ=="},"immutable":false"#);
    t.apply("says another value", "e", r#""immutable":true"#);
    t.end()
}

fn sets() -> Story {
    let mut t = Teller::new("sets", "v1", "ConfigMap", "configmaps");
    t.name("creates", "a", r#""finalizers":["example.com/a","example.com/b"]"#);
    t.name("shares one", "b", r#""finalizers":["example.com/b","example.com/c"]"#);
    t.name("gives up the shared one", "a", r#""finalizers":["example.com/a"]"#);
    t.name("turns the order", "b", r#""finalizers":["example.com/c","example.com/b"]"#);
    t.patch("removes one", "json", "c", r#"[{"op":"remove","path":"/metadata/finalizers/0"}]"#);
    t.name("says it again", "b", r#""finalizers":["example.com/c","example.com/b"]"#);
    t.name("owners", "a", r#""ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"}],"finalizers":["example.com/a"]"#);
    t.name("another owner", "b", r#""ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"q","uid":"v"}]"#);
    t.name("an owner otherwise", "b", r#""ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"q","uid":"u"}]"#);
    t.name("owners go", "a", "");
    t.name("all goes", "b", "");
    t.end()
}

fn ports() -> Story {
    let mut t = Teller::new("ports", "apps/v1", "Deployment", "deployments");
    let spec = |containers: &str| {
        format!(
            r#""spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{containers}]}}}}}}"#
        )
    };
    let only = |containers: &str| format!(r#""spec":{{"template":{{"spec":{{"containers":[{containers}]}}}}}}"#);
    t.apply("creates", "a", &spec(r#"{"name":"c","image":"i","ports":[{"containerPort":80}]}"#));
    t.apply("the same with protocol", "b", &only(r#"{"name":"c","ports":[{"containerPort":80,"protocol":"TCP"}]}"#));
    t.apply("names it", "b", &only(r#"{"name":"c","ports":[{"containerPort":80,"protocol":"TCP","name":"web"}]}"#));
    t.apply("names it otherwise", "c", &only(r#"{"name":"c","ports":[{"containerPort":80,"name":"www"}]}"#));
    t.apply("by UDP too", "c", &only(r#"{"name":"c","ports":[{"containerPort":80,"protocol":"UDP","name":"dns"}]}"#));
    t.apply("gives its up", "a", &spec(r#"{"name":"c","image":"i"}"#));
    t.apply("gives the container up", "b", "");
    t.apply(
        "env",
        "c",
        &only(r#"{"name":"c","env":[{"name":"A","value":"1"},{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}"#),
    );
    t.apply(
        "env from elsewhere",
        "d",
        &only(r#"{"name":"c","env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}"#),
    );
    t.apply("mounts", "d", &only(r#"{"name":"c","volumeMounts":[{"name":"v","mountPath":"/v"}],"resources":{"limits":{"cpu":"1"}}}"#));
    t.apply("limits", "a", &spec(r#"{"name":"c","image":"i","resources":{"limits":{"cpu":"1000m","memory":"1Gi"}}}"#));
    t.apply("limits in other words", "e", &only(r#"{"name":"c","resources":{"limits":{"cpu":"1"}}}"#));
    t.apply("a second container", "e", &only(r#"{"name":"d","image":"j"},{"name":"c"}"#));
    t.apply("a third before it", "f", &only(r#"{"name":"e","image":"k"}"#));
    t.apply("the second goes", "e", &only(r#"{"name":"c"}"#));
    t.end()
}

fn volumes() -> Story {
    let mut t = Teller::new("volumes", "v1", "Pod", "pods");
    let spec = |rest: &str| format!(r#""spec":{{"automountServiceAccountToken":false,"containers":[{{"name":"c","image":"i"}}]{rest}}}"#);
    t.apply("creates", "a", &spec(r#","tolerations":[{"key":"t","operator":"Exists"}],"imagePullSecrets":[{"name":"s"}]"#));
    t.apply("a toleration more", "b", r#""spec":{"tolerations":[{"key":"u","operator":"Exists"}]}"#);
    t.apply("an image", "b", r#""spec":{"containers":[{"name":"c","image":"j"}]}"#);
    t.force("an image forced", "b", r#""spec":{"containers":[{"name":"c","image":"j"}]}"#);
    t.apply("the image again", "a", &spec(""));
    t.status("a condition", "k", r#""status":{"conditions":[{"type":"Ready","status":"True"}],"phase":"Running"}"#);
    t.status("another condition", "l", r#""status":{"conditions":[{"type":"example.com/Lit","status":"True"}]}"#);
    t.status("a condition of another", "l", r#""status":{"conditions":[{"type":"Ready","status":"False"}]}"#);
    t.status("addresses", "k", r#""status":{"podIPs":[{"ip":"10.0.0.1"}],"podIP":"10.0.0.1","hostIPs":[{"ip":"10.0.0.2"}]}"#);
    t.status("nothing", "l", "");
    t.patch("status by strategy", "strategic-merge", "m", r#"{"metadata":{"labels":{"s":"1"}},"status":{"phase":"Failed"}}"#);
    t.end()
}

fn services() -> Story {
    let mut t = Teller::new("services", "v1", "Service", "services");
    t.apply("creates", "a", r#""spec":{"selector":{"a":"b"},"ports":[{"port":80,"name":"h"}],"type":"LoadBalancer"}"#);
    t.apply("a port more", "b", r#""spec":{"ports":[{"port":443,"name":"s"}]}"#);
    t.apply("a target", "c", r#""spec":{"ports":[{"port":80,"protocol":"TCP","targetPort":"web"}]}"#);
    t.force("a target forced", "c", r#""spec":{"ports":[{"port":80,"protocol":"TCP","targetPort":"web"}]}"#);
    t.apply("a selector more", "b", r#""spec":{"selector":{"a":"b","c":"d"}}"#);
    t.force("a selector forced", "b", r#""spec":{"selector":{"c":"d"}}"#);
    t.apply("its own again", "a", r#""spec":{"ports":[{"port":80,"name":"h"}],"type":"LoadBalancer"}"#);
    t.status("an address", "lb", r#""status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}"#);
    t.status("another address", "lb2", r#""status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.2"}]}}"#);
    t.status(
        "a condition",
        "lb2",
        r#""status":{"conditions":[{"type":"Ok","status":"True","reason":"R","message":"","lastTransitionTime":"2020-01-01T00:00:00Z"}]}"#,
    );
    t.apply("sources", "b", r#""spec":{"loadBalancerSourceRanges":["192.0.2.0/24"],"externalIPs":["192.0.2.9"]}"#);
    t.apply("all goes", "b", "");
    t.end()
}

/// What is owned as a whole.
fn atoms() -> Story {
    let mut t = Teller::new("atoms", "networking.k8s.io/v1", "Ingress", "ingresses");
    let rule = |host: &str| {
        format!(
            r#"{{"host":"{host}","http":{{"paths":[{{"path":"/","pathType":"Prefix","backend":{{"service":{{"name":"s","port":{{"number":80}}}}}}}}]}}}}"#
        )
    };
    t.apply("creates", "a", &format!(r#""spec":{{"rules":[{}]}}"#, rule("a.example.com")));
    t.apply("a rule more", "b", &format!(r#""spec":{{"rules":[{},{}]}}"#, rule("a.example.com"), rule("b.example.com")));
    t.force("a rule forced", "b", &format!(r#""spec":{{"rules":[{},{}]}}"#, rule("a.example.com"), rule("b.example.com")));
    t.apply("a backend", "a", r#""spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}}}"#);
    t.apply("a backend's port", "c", r#""spec":{"defaultBackend":{"service":{"name":"s","port":{"name":"web"}}}}"#);
    t.force("a backend's port forced", "c", r#""spec":{"defaultBackend":{"service":{"name":"s","port":{"name":"web","number":0}}}}"#);
    t.apply("hosts", "a", r#""spec":{"tls":[{"hosts":["a","b"],"secretName":"s"}]}"#);
    t.apply("the same hosts", "b", r#""spec":{"tls":[{"hosts":["a","b"],"secretName":"s"}]}"#);
    t.apply("nothing", "a", "");
    t.status("an address", "lb", r#""status":{"loadBalancer":{"ingress":[{"hostname":"h"}]}}"#);
    t.end()
}

fn conditions() -> Story {
    let mut t = Teller::new("conditions", "apps/v1", "Deployment", "deployments");
    let condition = |ty: &str, status: &str| format!(r#"{{"type":"{ty}","status":"{status}"}}"#);
    t.apply("creates", "a", r#""spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#);
    t.status("one", "k", &format!(r#""status":{{"conditions":[{}]}}"#, condition("Available", "True")));
    t.status(
        "two",
        "l",
        &format!(r#""status":{{"conditions":[{},{}]}}"#, condition("Progressing", "True"), condition("Available", "True")),
    );
    t.status("three", "l", &format!(r#""status":{{"conditions":[{}]}}"#, condition("Available", "False")));
    t.send(
        "forced",
        "l",
        "/status",
        "&force=true",
        t.body("", &format!(r#""status":{{"conditions":[{}]}}"#, condition("Available", "False"))),
    );
    t.status("counts", "k", r#""status":{"replicas":1,"observedGeneration":1}"#);
    t.status("labels with it", "k", r#""status":{"replicas":1}"#);
    t.send(
        "a label through status",
        "m",
        "/status",
        "",
        t.body(r#""labels":{"m":"1"},"annotations":{"m":"1"}"#, r#""status":{"replicas":1}"#),
    );
    t.apply("status through the object", "n", r#""status":{"replicas":9},"spec":{"minReadySeconds":3}"#);
    t.status("no key", "k", r#""status":{"conditions":[{"status":"True"}]}"#);
    t.end()
}

/// Updates and appliers.
fn updates() -> Story {
    let mut t = Teller::new("updates", "v1", "ConfigMap", "configmaps");
    t.apply("creates", "a", r#""data":{"x":"1","y":"1"}"#);
    t.patch("changes one", "merge", "u", r#"{"data":{"x":"2"}}"#);
    t.patch("says the same", "merge", "v", r#"{"data":{"x":"2","y":"1"}}"#);
    t.apply("wants it back", "a", r#""data":{"x":"1","y":"1"}"#);
    t.apply("agrees", "a", r#""data":{"x":"2","y":"1"}"#);
    t.patch("removes one", "merge", "u", r#"{"data":{"y":null}}"#);
    t.patch("adds one", "json", "w", r#"[{"op":"add","path":"/data/z","value":"1"}]"#);
    t.put("puts one", "p", vec![Edit::set("/data/q", "1"), Edit::remove("/data/z")]);
    t.apply("leaves all", "a", "");
    t.apply("of updates", "u", r#""data":{"x":"2"}"#);
    t.apply("leaves it", "u", "");
    t.patch("adds with strategy", "strategic-merge", "s", r#"{"data":{"r":"1"}}"#);
    t.patch("no name", "merge", "", r#"{"data":{"t":"1"}}"#);
    t.story
        .add(Request::patch("agent", "merge", t.path.clone(), r#"{"data":{"agent":"1"}}"#).header("user-agent", "kubectl/v1.37 (linux)"));
    t.patch("a bad name", "merge", "%0a", r#"{"data":{"t":"2"}}"#);
    t.end()
}

/// Upstream joins the oldest beyond ten.
fn many_updates() -> Story {
    let mut t = Teller::new("many-updates", "v1", "ConfigMap", "configmaps");
    t.apply("creates", "a", r#""data":{"x":"1"}"#);
    for i in 10..24 {
        t.patch("adds its own", "merge", &format!("u{i}"), &format!(r#"{{"data":{{"u{i}":"1"}}}}"#));
    }
    t.apply("takes two back", "a", r#""data":{"x":"1","u10":"1","u23":"1"}"#);
    t.apply("disagrees with the joined", "a", r#""data":{"x":"1","u11":"2"}"#);
    t.end()
}

fn resets() -> Story {
    let mut t = Teller::new("resets", "v1", "ConfigMap", "configmaps");
    t.apply("creates", "a", r#""data":{"x":"1"}"#);
    t.patch("resets", "merge", "u", r#"{"metadata":{"managedFields":[]},"data":{"y":"1"}}"#);
    t.patch("is not noted", "merge", "u", r#"{"data":{"z":"1"}}"#);
    t.apply("begins again", "a", r#""data":{"x":"2"}"#);
    t.force("begins again by force", "a", r#""data":{"x":"2"}"#);
    t.patch("resets with an empty one", "json", "u", r#"[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]"#);
    t.apply("the same as is there", "b", r#""data":{"x":"2"}"#);
    t.put("null", "p", vec![Edit::set("/metadata/managedFields", json!(null)), Edit::set("/data/n", "1")]);
    let entry = |manager: &str, operation: &str, fields: serde_json::Value| json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
    t.put(
        "gives away",
        "p",
        vec![Edit::set("/metadata/managedFields", json!([entry("q", "Apply", json!({"f:data": {".": {}, "f:x": {}}}))]))],
    );
    t.put("gives wrongly", "p", vec![Edit::set("/metadata/managedFields", json!([entry("q", "Delete", json!({}))]))]);
    t.put(
        "gives no type",
        "p",
        vec![Edit::set("/metadata/managedFields", json!([{"manager": "q", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}}]))],
    );
    t.put(
        "gives spaces",
        "p",
        vec![Edit::set(
            "/metadata/managedFields",
            json!([entry("r", "Update", json!({"f:metadata": {"f:finalizers": {"v: \"a\"": {}, ".": {}}}}))]),
        )],
    );
    t.put(
        "gives twice",
        "p",
        vec![Edit::set(
            "/metadata/managedFields",
            json!([entry("r", "Update", json!({"f:data": {"f:x": {}}})), entry("r", "Update", json!({"f:data": {"f:y": {}}}))]),
        )],
    );
    t.put(
        "gives what is not there",
        "p",
        vec![Edit::set("/metadata/managedFields", json!([entry("r", "Apply", json!({"f:data": {"f:none": {}}}))]))],
    );
    t.apply("leaves it", "r", r#""data":{"m":"1"}"#);
    t.send("sends entries", "a", "", "", t.body(r#""managedFields":[]"#, ""));
    t.end()
}

/// kubectl after client-side apply.
fn client_side() -> Story {
    let mut t = Teller::new("client-side", "v1", "ConfigMap", "configmaps");
    let noted = |data: serde_json::Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "annotations": {"kubectl.kubernetes.io/last-applied-configuration":
            format!("{}\n", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"annotations": {}, "name": "x"}, "data": data}))}}, "data": data})
    };
    let path = "/api/v1/namespaces/$(ns)/configmaps?fieldManager=kubectl-client-side-apply";
    t.story.add(Request::new("client-side", "POST", path, noted(json!({"x": "1", "y": "1"})).to_string()));
    t.apply("by another name", "other", r#""data":{"x":"2"}"#);
    t.apply("changes what it applied", "kubectl", r#""data":{"x":"2","y":"1"}"#);
    t.apply("drops one", "kubectl", r#""data":{"x":"2"}"#);
    t.patch("somebody changes one", "merge", "u", r#"{"data":{"x":"3"}}"#);
    t.apply("has lost it", "kubectl", r#""data":{"x":"4"}"#);
    t.force("takes it", "kubectl", r#""data":{"x":"4"}"#);
    t.name("with an annotation", "kubectl", r#""annotations":{"n":"1"}"#);
    t.patch("client-side again", "merge", "kubectl-client-side-apply", &noted(json!({"x": "5"})).to_string());
    t.apply("server-side again", "kubectl", r#""data":{"x":"6"}"#);
    t.patch(
        "a broken note",
        "merge",
        "u",
        r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{"}},"data":{"x":"7"}}"#,
    );
    t.apply("with a broken note", "kubectl", r#""data":{"x":"8"}"#);
    t.patch("a note of another version", "merge", "u", r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v2\",\"kind\":\"ConfigMap\",\"data\":{\"x\":\"7\"}}"}}}"#);
    t.apply("with a note of another version", "kubectl", r#""data":{"x":"8"}"#);
    t.patch("no note", "merge", "u", r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":null}}}"#);
    t.force("without a note", "kubectl", r#""data":{"x":"9"}"#);
    t.end()
}

fn scales(plural: &str, kind: &str, api_version: &str) -> Story {
    let mut t = Teller::new(&format!("scale-{plural}"), api_version, kind, plural);
    let selector = if kind == "ReplicationController" { r#"{"a":"b"}"# } else { r#"{"matchLabels":{"a":"b"}}"# };
    let spec = |replicas: &str| {
        format!(
            r#""spec":{{{replicas}"selector":{selector},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}}}"#
        )
    };
    let scale = |replicas: i32| {
        format!(r#"{{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{{"name":"x"}},"spec":{{"replicas":{replicas}}}}}"#)
    };
    let part = format!("{}/scale", t.path);
    t.apply("creates", "a", &spec(r#""replicas":1,"#));
    t.send("conflicts", "s", "/scale", "", scale(2));
    t.send("agrees", "s", "/scale", "", scale(1));
    t.story.add(Request::get("after agreeing", t.path.clone()));
    t.send("forced", "s", "/scale", "&force=true", scale(3));
    t.story.add(Request::get("after force", t.path.clone()));
    t.apply("wants it back", "a", &spec(r#""replicas":1,"#));
    t.apply("leaves it", "a", &spec(""));
    t.story.add(Request::patch("merged", "merge", format!("{part}?fieldManager=m"), r#"{"spec":{"replicas":4}}"#));
    t.story.add(Request::get("after merging", t.path.clone()));
    t.story.add(Request::patch("merged again", "merge", format!("{part}?fieldManager=m"), r#"{"spec":{"replicas":5}}"#));
    t.send("of a merge", "s", "/scale", "", scale(6));
    t.story.add(Request::get("scale", part.clone()));
    t.story.add(Request::put_last("put", format!("{part}?fieldManager=p"), vec![Edit::set("/spec/replicas", 7)]));
    t.story.add(Request::get("after putting", t.path.clone()));
    t.patch("through the object", "merge", "m", r#"{"spec":{"replicas":8}}"#);
    t.story.add(Request::patch("scaled by the same", "merge", format!("{part}?fieldManager=m"), r#"{"spec":{"replicas":9}}"#));
    t.story.add(Request::get("after the same", t.path.clone()));
    t.patch("once more", "merge", "m", r#"{"metadata":{"labels":{"l":"1"}}}"#);
    t.story.add(Request::patch("of another uid", "merge", part.clone(), r#"{"metadata":{"uid":"u"},"spec":{"replicas":1}}"#));
    t.story.add(Request::patch("of another kind", "merge", part.clone(), r#"{"kind":"Deployment","spec":{"replicas":1}}"#));
    t.story.add(Request::patch("of a wrong type", "merge", part.clone(), r#"{"spec":{"replicas":"1"}}"#));
    t.send("unknown", "s", "/scale", "", r#"{"apiVersion":"autoscaling/v1","kind":"Scale","spec":{"zz":1}}"#.to_owned());
    t.send("of the object", "s", "/scale", "", t.body("", r#""spec":{"replicas":1}"#));
    t.end()
}

/// Two versions of a kind with fields of other names.
fn autoscalers() -> Story {
    let mut t = Teller::new("autoscalers", "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    let target = r#""scaleTargetRef":{"kind":"Deployment","name":"d"}"#;
    let metric = |percent: i32| {
        format!(
            r#""metrics":[{{"type":"Resource","resource":{{"name":"cpu","target":{{"type":"Utilization","averageUtilization":{percent}}}}}}}]"#
        )
    };
    t.apply("creates", "a", &format!(r#""spec":{{{target},"maxReplicas":5,{}}}"#, metric(70)));
    t.speaks("autoscaling/v1", "horizontalpodautoscalers");
    t.apply("a minimum", "b", r#""spec":{"minReplicas":2}"#);
    t.apply("another maximum", "b", r#""spec":{"minReplicas":2,"maxReplicas":6}"#);
    t.apply("another target", "b", r#""spec":{"targetCPUUtilizationPercentage":80}"#);
    t.force("another target forced", "b", r#""spec":{"targetCPUUtilizationPercentage":80}"#);
    t.speaks("autoscaling/v2", "horizontalpodautoscalers");
    t.apply("without metrics", "a", &format!(r#""spec":{{{target},"maxReplicas":5}}"#));
    t.apply("the metric", "c", &format!(r#""spec":{{{}}}"#, metric(60)));
    t.speaks("autoscaling/v1", "horizontalpodautoscalers");
    t.apply("the same in other words", "a", &format!(r#""spec":{{{target},"maxReplicas":5}}"#));
    t.patch("updates", "merge", "u", r#"{"spec":{"targetCPUUtilizationPercentage":50}}"#);
    t.speaks("autoscaling/v2", "horizontalpodautoscalers");
    t.patch("updates", "merge", "u", r#"{"spec":{"maxReplicas":9}}"#);
    t.apply("behaviour", "c", r#""spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":5}}}"#);
    t.speaks("autoscaling/v1", "horizontalpodautoscalers");
    t.apply("leaves it", "c", r#""spec":{"minReplicas":3}"#);
    t.apply("leaves all", "b", "");
    t.end()
}

/// Two groups of one kind.
fn events() -> Story {
    let mut t = Teller::new("events", "v1", "Event", "events");
    let head = r#""involvedObject":{"kind":"Pod","name":"p","namespace":"$(ns)"}"#;
    t.apply("creates", "a", &format!(r#"{head},"reason":"R","message":"m","type":"Normal""#));
    t.apply("a count", "b", r#""count":2"#);
    t.speaks("events.k8s.io/v1", "events");
    t.apply("a note", "c", r#""note":"n""#);
    t.force("a note forced", "c", r#""note":"n""#);
    t.patch("merges", "merge", "u", r#"{"metadata":{"labels":{"l":"1"}}}"#);
    t.speaks("v1", "events");
    t.apply("a message", "a", &format!(r#"{head},"reason":"R","message":"m","type":"Normal""#));
    t.patch("merges", "merge", "u", r#"{"count":3}"#);
    t.apply("leaves the count", "b", "");
    t.end()
}

/// Nulls and empty maps and lists.
fn nothings() -> Story {
    let mut t = Teller::new("nothings", "v1", "Pod", "pods");
    let spec = |rest: &str| format!(r#""spec":{{"automountServiceAccountToken":false,"containers":[{{"name":"c","image":"i"{rest}}}]}}"#);
    t.send(
        "creates",
        "a",
        "",
        "",
        t.body(r#""labels":{},"annotations":null"#, &spec(r#","args":[],"env":[],"resources":{},"securityContext":{}"#)),
    );
    t.send("says them full", "b", "", "", t.body(r#""labels":{"l":"1"},"annotations":{"n":"1"}"#, ""));
    t.send("says them empty", "a", "", "", t.body(r#""labels":{},"annotations":{}"#, &spec("")));
    t.send("leaves a null", "b", "", "", t.body(r#""labels":{"l":null},"annotations":{"n":"1"}"#, ""));
    t.apply("nothing of a map", "c", r#""spec":{}"#);
    t.apply("null of a struct", "c", r#""spec":null"#);
    t.apply("an empty list", "c", r#""spec":{"containers":[]}"#);
    t.apply("nothing", "b", "");
    t.end()
}

/// Items that stand twice, which only updates can make.
fn doubles() -> Story {
    let mut t = Teller::new("doubles", "apps/v1", "Deployment", "deployments");
    let env = |items: &str| format!(r#""spec":{{"template":{{"spec":{{"containers":[{{"name":"c","env":[{items}]}}]}}}}}}"#);
    let whole = r#""spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"}]}]}}}"#;
    t.apply("creates", "a", whole);
    t.patch("doubles", "json", "u", r#"[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"A","value":"2"}}]"#);
    t.apply("adds another", "b", &env(r#"{"name":"B","value":"1"}"#));
    t.apply("says the doubled", "b", &env(r#"{"name":"A","value":"3"},{"name":"B","value":"1"}"#));
    t.force("forces the doubled", "b", &env(r#"{"name":"A","value":"3"},{"name":"B","value":"1"}"#));
    t.patch(
        "doubles again",
        "json",
        "u",
        r#"[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"B","value":"2"}}]"#,
    );
    t.apply("leaves them", "b", "");
    t.apply("the first again", "a", whole);
    t.end()
}

/// Members that only writers use.
fn secrets() -> Story {
    let mut t = Teller::new("secrets", "v1", "Secret", "secrets");
    t.apply("creates", "a", r#""stringData":{"x":"1"},"data":{"y":"AQ=="}"#);
    t.apply("again", "a", r#""stringData":{"x":"1"},"data":{"y":"AQ=="}"#);
    t.apply("the same as data", "b", r#""data":{"x":"MQ=="}"#);
    t.apply("otherwise", "b", r#""stringData":{"x":"2"}"#);
    t.apply("leaves it", "a", r#""data":{"y":"AQ=="}"#);
    t.apply("another type", "b", r#""type":"example.com/t""#);
    t.apply("leaves all", "a", "");
    t.end()
}

fn dry_runs() -> Story {
    let mut t = Teller::new("dry-runs", "v1", "ConfigMap", "configmaps");
    t.send("creates", "a", "", "&dryRun=All", t.body("", r#""data":{"x":"1"}"#));
    t.apply("creates", "a", r#""data":{"x":"1"}"#);
    t.send("changes", "a", "", "&dryRun=All", t.body("", r#""data":{"x":"2"}"#));
    t.send("conflicts", "b", "", "&dryRun=All", t.body("", r#""data":{"x":"3"}"#));
    t.send("forces", "b", "", "&dryRun=All&force=true", t.body("", r#""data":{"x":"3"}"#));
    t.send("strictly", "b", "", "&fieldValidation=Strict", t.body("", r#""zz":1"#));
    t.send("with warnings", "b", "", "&fieldValidation=Warn", t.body("", r#""zz":1"#));
    t.send("ignorantly", "b", "", "&fieldValidation=Ignore", t.body("", r#""zz":1"#));
    t.send("without a manager", "", "", "", t.body("", r#""data":{"x":"1"}"#));
    t.end()
}
