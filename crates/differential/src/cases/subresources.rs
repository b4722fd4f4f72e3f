//! Subresources with rules of their own: status, scale, binding, eviction, tokens, approval, finalize, ephemeral containers, resize.

use serde_json::json;

use crate::seeds::subject;
use crate::story::{Edit, Request, Story};

pub(super) fn stories() -> Vec<Story> {
    vec![pods(), evictions(), namespaces(), tokens(), certificates(), statuses(), grace(), services(), admission(), collections_of_pods()]
}

fn pods() -> Story {
    let mut story = Story::for_pods("sub/pods");
    let pods = subject("/v1/pods");
    let one = pods.item("p");
    story.add(Request::new("create", "POST", pods.collection(), pods.rich("p").to_string()));
    let bind = |name: &str, target: serde_json::Value| {
        Request::new(
            name,
            "POST",
            format!("{one}/binding"),
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": target}).to_string(),
        )
    };
    story.add(bind("bind to nothing", json!({})));
    story.add(bind("bind to a pod", json!({"kind": "Pod", "name": "n"})));
    story.add(bind("bind dry", json!({"kind": "Node", "name": "n"})));
    if let Some(last) = story.requests.last_mut() {
        last.path.push_str("?dryRun=All");
    }
    story.add(bind("bind", json!({"kind": "Node", "name": "n"})));
    story.add(bind("bind again", json!({"kind": "Node", "name": "m"})));
    story.add(Request::new(
        "bind by collection",
        "POST",
        "/api/v1/namespaces/$(ns)/bindings",
        r#"{"metadata":{"name":"p"},"target":{"kind":"Node","name":"m"}}"#,
    ));
    story.add(Request::new(
        "bind the absent",
        "POST",
        "/api/v1/namespaces/$(ns)/bindings",
        r#"{"metadata":{"name":"none"},"target":{"kind":"Node","name":"m"}}"#,
    ));
    story.add(Request::get("bound", &one));
    let change = |name: &str, pointer: &str, value: serde_json::Value| Request::put_last(name, &one, vec![Edit::set(pointer, value)]);
    story.add(change("image", "/spec/containers/0/image", json!("busybox:9")));
    story.add(change("command", "/spec/containers/0/command", json!(["other"])));
    story.add(change("resources", "/spec/containers/0/resources/requests/cpu", json!("200m")));
    story.add(change("deadline", "/spec/activeDeadlineSeconds", json!(100)));
    story.add(change("deadline longer", "/spec/activeDeadlineSeconds", json!(200)));
    story.add(change("deadline gone", "/spec/activeDeadlineSeconds", json!(null)));
    story.add(change("a toleration more", "/spec/tolerations/5", json!({"key": "new", "operator": "Exists"})));
    story.add(change("tolerations gone", "/spec/tolerations", json!([])));
    story.add(change("node", "/spec/nodeName", json!("other")));
    story.add(change("status at pod", "/status/phase", json!("Running")));
    story.add(Request::get("read", &one));
    story.add(Request::put_last("status", format!("{one}/status"), vec![
        Edit::set("/status/phase", "Running"), Edit::set("/status/podIP", "192.0.2.5"), Edit::set("/status/conditions", json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2001-02-03T04:05:06Z"}])),
        Edit::set("/status/containerStatuses", json!([{"name": "c", "image": "busybox:9", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2001-02-03T04:05:06Z"}}}])),
        Edit::set("/spec/nodeName", "ignored"), Edit::set("/metadata/labels/by", "status"),
    ]));
    story.add(Request::patch(
        "condition merged",
        "strategic-merge",
        format!("{one}/status"),
        r#"{"status":{"conditions":[{"type":"Custom","status":"False"}]}}"#,
    ));
    story.add(Request::patch("qos", "merge", format!("{one}/status"), r#"{"status":{"qosClass":"Guaranteed"}}"#));
    story.add(Request::patch(
        "restart count falls",
        "strategic-merge",
        format!("{one}/status"),
        r#"{"status":{"containerStatuses":[{"name":"c","restartCount":-1}]}}"#,
    ));
    let debug = |name: &str, containers: serde_json::Value| {
        Request::patch(
            name,
            "strategic-merge",
            format!("{one}/ephemeralcontainers"),
            json!({"spec": {"ephemeralContainers": containers}}).to_string(),
        )
    };
    story.add(debug("debug", json!([{"name": "e", "image": "busybox"}])));
    story.add(debug("debug same name", json!([{"name": "c", "image": "busybox"}])));
    story.add(debug("debug with ports", json!([{"name": "f", "image": "busybox", "ports": [{"containerPort": 1}]}])));
    story.add(debug("debug changed", json!([{"name": "e", "image": "other"}])));
    story.add(debug("debug target", json!([{"name": "g", "image": "other", "targetContainerName": "none"}])));
    story.add(Request::patch(
        "debug by pod",
        "strategic-merge",
        &*one,
        r#"{"spec":{"ephemeralContainers":[{"name":"h","image":"busybox"}]}}"#,
    ));
    let resize = |name: &str, body: &str| Request::patch(name, "strategic-merge", format!("{one}/resize"), body);
    story.add(resize("resize", r#"{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"150m"}}}]}}"#));
    story.add(resize("resize image", r#"{"spec":{"containers":[{"name":"c","image":"x"}]}}"#));
    story.add(resize("resize class", r#"{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1","memory":"1Gi"}}},{"name":"d","resources":{"requests":{"cpu":"1","memory":"1Gi"},"limits":{"cpu":"1","memory":"1Gi"}}}]}}"#));
    story.add(Request::get("log", format!("{one}/log?container=none")));
    story.add(Request::get("log of several", format!("{one}/log")));
    story.add(Request::get("log bad", format!("{one}/log?container=c&tailLines=-1&sinceSeconds=0&limitBytes=0")));
    story.add(Request::get("log two since", format!("{one}/log?container=c&sinceSeconds=1&sinceTime=2001-02-03T04:05:06Z")));
    story.add(Request::get("exec without command", format!("{one}/exec?container=c")));
    story.add(Request::get("exec in none", format!("{one}/exec?container=none&command=x&stdout=true")));
    story.add(Request::get("result", &one));
    story
}

fn evictions() -> Story {
    let mut story = Story::for_pods("sub/eviction");
    let pods = subject("/v1/pods");
    let evict = |name: &str, pod: &str, fields: serde_json::Value| {
        let mut body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        body.as_object_mut().expect("an object").extend(fields.as_object().cloned().unwrap_or_default());
        Request::new(name, "POST", format!("/api/v1/namespaces/$(ns)/pods/{pod}/eviction"), body.to_string())
    };
    story.add(evict("absent", "none", json!({})));
    for name in ["p", "q", "r"] {
        story.add(Request::new(format!("pod {name}"), "POST", pods.collection(), pods.rich(name).to_string()));
    }
    story.add(evict("dry", "p", json!({"deleteOptions": {"dryRun": ["All"]}})));
    story.add(evict("stale", "p", json!({"deleteOptions": {"preconditions": {"resourceVersion": "1"}}})));
    story.add(evict("plain", "p", json!({})));
    story.add(Request::new(
        "beta",
        "POST",
        "/api/v1/namespaces/$(ns)/pods/q/eviction",
        r#"{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"q"}}"#,
    ));
    story.add(Request::new(
        "budget",
        "POST",
        "/apis/policy/v1/namespaces/$(ns)/poddisruptionbudgets",
        r#"{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"a"}}}}"#,
    ));
    story.add(evict("unscheduled against budget", "r", json!({})).settled());
    story.add(Request::new("pod s", "POST", pods.collection(), pods.rich("s").to_string()));
    story.add(Request::patch(
        "running",
        "merge",
        "/api/v1/namespaces/$(ns)/pods/s/status",
        r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#,
    ));
    story.add(evict("against unready budget", "s", json!({})));
    story.add(Request::patch(
        "budget status",
        "merge",
        "/apis/policy/v1/namespaces/$(ns)/poddisruptionbudgets/b/status",
        r#"{"status":{"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1}}"#,
    ));
    story.add(evict("against spent budget", "s", json!({})));
    story.add(Request::patch(
        "budget allows",
        "merge",
        "/apis/policy/v1/namespaces/$(ns)/poddisruptionbudgets/b/status",
        r#"{"status":{"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":2,"desiredHealthy":1,"expectedPods":2}}"#,
    ));
    story.add(evict("allowed dry", "s", json!({"deleteOptions": {"dryRun": ["All"]}})));
    story.add(evict("allowed", "s", json!({})));
    story.add(Request::get("budget after", "/apis/policy/v1/namespaces/$(ns)/poddisruptionbudgets/b"));
    story
}

fn namespaces() -> Story {
    let mut story = Story::new("sub/namespaces");
    story.add(Request::new("create", "POST", "/api/v1/namespaces", r#"{"metadata":{"name":"$(ns)"}}"#));
    story.add(Request::put_last(
        "finalizers by update",
        "/api/v1/namespaces/$(ns)",
        vec![Edit::set("/spec/finalizers", json!(["example.com/x"]))],
    ));
    story.add(Request::put_last(
        "finalize",
        "/api/v1/namespaces/$(ns)/finalize",
        vec![Edit::set("/spec/finalizers", json!(["kubernetes", "example.com/x"]))],
    ));
    story.add(Request::put_last(
        "finalize badly",
        "/api/v1/namespaces/$(ns)/finalize",
        vec![Edit::set("/spec/finalizers", json!(["nope"]))],
    ));
    story.add(Request::put_last("status", "/api/v1/namespaces/$(ns)/status", vec![Edit::set("/status/phase", "Terminating")]));
    story.add(Request::new("delete", "DELETE", "/api/v1/namespaces/$(ns)", ""));
    story.add(Request::new("delete again", "DELETE", "/api/v1/namespaces/$(ns)", ""));
    story.add(Request::new("create in it", "POST", "/api/v1/namespaces/$(ns)/configmaps", r#"{"metadata":{"name":"a"}}"#).settled());
    story.add(Request::get("read", "/api/v1/namespaces/$(ns)"));
    story.add(Request::put_last(
        "finalize one",
        "/api/v1/namespaces/$(ns)/finalize",
        vec![Edit::set("/spec/finalizers", json!(["example.com/x"]))],
    ));
    story.add(Request::put_last("finalize all", "/api/v1/namespaces/$(ns)/finalize", vec![Edit::set("/spec/finalizers", json!([]))]));
    story.add(Request::get("gone", "/api/v1/namespaces/$(ns)"));
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        story.add(Request::get(format!("get {name}"), format!("/api/v1/namespaces/{name}")));
        story.add(Request::new(format!("delete {name}"), "DELETE", format!("/api/v1/namespaces/{name}?dryRun=All"), ""));
    }
    story.add(Request::new("in none", "POST", "/api/v1/namespaces/none/configmaps", r#"{"metadata":{"name":"a"}}"#));
    story.add(Request::get("list in none", "/api/v1/namespaces/none/configmaps"));
    story.add(Request::new("delete in none", "DELETE", "/api/v1/namespaces/none/configmaps/a", ""));
    story
}

fn tokens() -> Story {
    let mut story = Story::for_pods("sub/tokens");
    let path = "/api/v1/namespaces/$(ns)/serviceaccounts/default/token";
    let ask = |name: &str, spec: serde_json::Value| Request::new(name, "POST", path, json!({"spec": spec}).to_string());
    story.add(ask("plain", json!({})));
    story.add(ask("audience", json!({"audiences": ["a", "b"], "expirationSeconds": 700})));
    story.add(ask("too short", json!({"expirationSeconds": 10})));
    story.add(ask("too long", json!({"expirationSeconds": 4_294_967_297_i64})));
    story.add(ask("bound to none", json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}})));
    story.add(ask("bound to secret", json!({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}})));
    story.add(ask("bound to map", json!({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "none"}})));
    story.add(ask("bound to node", json!({"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "none"}})));
    story.add(Request::new("of none", "POST", "/api/v1/namespaces/$(ns)/serviceaccounts/none/token", "{}"));
    story.add(Request::new("other kind", "POST", path, r#"{"apiVersion":"v1","kind":"Pod"}"#));
    story.add(Request::new("dry", "POST", format!("{path}?dryRun=All"), "{}"));
    story
}

fn certificates() -> Story {
    let mut story = Story::new("sub/certificates");
    let csr = subject("certificates.k8s.io/v1/certificatesigningrequests");
    let one = csr.item("sub-csr");
    story.add(Request::new("create", "POST", csr.collection(), csr.minimal("sub-csr").to_string()));
    let approve = |name: &str, conditions: serde_json::Value| {
        Request::put_last(name, format!("{one}/approval"), vec![Edit::set("/status/conditions", conditions)])
    };
    story.add(Request::put_last(
        "approve by update",
        &*one,
        vec![Edit::set("/status/conditions", json!([{"type": "Approved", "status": "True"}]))],
    ));
    story.add(approve("approve falsely", json!([{"type": "Approved", "status": "False"}])));
    story.add(approve("both", json!([{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}])));
    story.add(approve("approve", json!([{"type": "Approved", "status": "True", "reason": "R", "message": "m"}])));
    story.add(approve("take back", json!([])));
    story.add(Request::put_last("certificate", format!("{one}/status"), vec![Edit::set("/status/certificate", "bm9uZQ==")]));
    story.add(Request::put_last(
        "fail",
        format!("{one}/status"),
        vec![Edit::set("/status/conditions/1", json!({"type": "Failed", "status": "True", "reason": "R"}))],
    ));
    for (name, signer, usages) in [
        ("kubelet client", "kubernetes.io/kube-apiserver-client-kubelet", json!(["client auth", "digital signature"])),
        ("kubelet serving", "kubernetes.io/kubelet-serving", json!(["server auth"])),
        ("client", "kubernetes.io/kube-apiserver-client", json!(["client auth"])),
        ("unknown kubernetes", "kubernetes.io/other", json!(["client auth"])),
        ("bad signer", "noslash", json!(["client auth"])),
        ("no usages", "example.com/s", json!([])),
        ("bad usage", "example.com/s", json!(["fly"])),
    ] {
        let mut object = csr.minimal("sub-other");
        object["spec"]["signerName"] = json!(signer);
        object["spec"]["usages"] = usages;
        story.add(Request::new(format!("create {name}"), "POST", format!("{}?dryRun=All", csr.collection()), object.to_string()));
    }
    story.add(Request::new("delete", "DELETE", one, ""));
    story
}

/// What a controller writes into the status of each workload, and what the status may not say.
fn statuses() -> Story {
    let mut story = Story::for_pods("sub/status");
    let rows = [
        ("apps/v1/deployments", json!({"replicas": -1})),
        ("apps/v1/deployments", json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 2})),
        ("apps/v1/replicasets", json!({"replicas": 1, "fullyLabeledReplicas": 2})),
        ("apps/v1/replicasets", json!({"replicas": 1, "observedGeneration": 5})),
        ("apps/v1/statefulsets", json!({"replicas": 1, "readyReplicas": 3})),
        (
            "apps/v1/daemonsets",
            json!({"currentNumberScheduled": -1, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}),
        ),
        ("batch/v1/jobs", json!({"active": -1})),
        ("batch/v1/jobs", json!({"conditions": [{"type": "Complete", "status": "True"}]})),
        ("batch/v1/cronjobs", json!({"lastScheduleTime": "2001-02-03T04:05:06Z"})),
        ("/v1/services", json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})),
        ("/v1/services", json!({"loadBalancer": {"ingress": [{"ip": "x"}]}})),
        ("/v1/resourcequotas", json!({"hard": {"pods": "1"}, "used": {"pods": "x"}})),
        ("/v1/persistentvolumeclaims", json!({"phase": "Bound", "capacity": {"storage": "1Gi"}})),
        ("/v1/replicationcontrollers", json!({"replicas": 2})),
        ("policy/v1/poddisruptionbudgets", json!({"disruptionsAllowed": -1, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0})),
        ("autoscaling/v2/horizontalpodautoscalers", json!({"currentReplicas": -1, "desiredReplicas": 0})),
        (
            "networking.k8s.io/v1/ingresses",
            json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "hostname": "x", "ports": [{"port": 80, "protocol": "TCP"}]}]}}),
        ),
    ];
    for (i, (id, status)) in rows.into_iter().enumerate() {
        let subject = subject(id);
        let name = format!("s{i}");
        story.add(Request::new(format!("{i} create {id}"), "POST", subject.collection(), subject.rich(&name).to_string()));
        story.add(Request::put_last(
            format!("{i} put {id}"),
            format!("{}/status", subject.item(&name)),
            vec![Edit::set("/status", status.clone())],
        ));
        story.add(Request::patch(
            format!("{i} merge {id}"),
            "merge",
            format!("{}/status", subject.item(&name)),
            json!({"status": status, "spec": {"zz": 1}}).to_string(),
        ));
    }
    story
}

fn grace() -> Story {
    let mut story = Story::for_pods("sub/grace");
    let pods = subject("/v1/pods");
    for name in ["unbound", "bound", "own"] {
        let mut pod = pods.minimal(name);
        if name != "unbound" {
            pod["spec"]["nodeName"] = json!("n");
        }
        if name == "own" {
            pod["spec"]["terminationGracePeriodSeconds"] = json!(7);
        }
        story.add(Request::new(format!("create {name}"), "POST", pods.collection(), pod.to_string()));
    }
    story.add(Request::new("unbound goes", "DELETE", pods.item("unbound"), ""));
    story.add(Request::get("unbound is gone", pods.item("unbound")));
    story.add(Request::new("bound dry", "DELETE", format!("{}?dryRun=All", pods.item("bound")), ""));
    story.add(Request::new("bound goes", "DELETE", pods.item("bound"), ""));
    story.add(Request::new("bound again", "DELETE", pods.item("bound"), ""));
    story.add(Request::new("bound shorter", "DELETE", format!("{}?gracePeriodSeconds=3", pods.item("bound")), ""));
    story.add(Request::new("bound longer", "DELETE", format!("{}?gracePeriodSeconds=300", pods.item("bound")), ""));
    story.add(Request::get("bound is going", pods.item("bound")));
    story.add(Request::put_last(
        "finalizer while going",
        pods.item("bound"),
        vec![Edit::set("/metadata/finalizers", json!(["example.com/x"]))],
    ));
    story.add(Request::new("bound now", "DELETE", format!("{}?gracePeriodSeconds=0", pods.item("bound")), ""));
    story.add(Request::new("own goes", "DELETE", pods.item("own"), ""));
    story.add(Request::new("own at once", "DELETE", pods.item("own"), r#"{"gracePeriodSeconds":0,"preconditions":{"uid":"$(uid)"}}"#));
    story
}

/// Addresses and ports of Services: asked for, taken, out of range, of two families.
fn services() -> Story {
    let mut story = Story::for_pods("sub/services");
    let path = "/api/v1/namespaces/$(ns)/services";
    let specs = [
        json!({"ports": [{"port": 80}], "clusterIP": "10.96.7.7"}),
        json!({"ports": [{"port": 80}], "clusterIP": "10.96.7.7"}),
        json!({"ports": [{"port": 80}], "clusterIP": "192.0.2.1"}),
        json!({"ports": [{"port": 80}], "clusterIP": "nonsense"}),
        json!({"ports": [{"port": 80}], "clusterIP": "None"}),
        json!({"clusterIP": "None", "selector": {"a": "b"}}),
        json!({"ports": [{"port": 80}], "clusterIP": "10.96.7.8", "clusterIPs": ["10.96.7.9"]}),
        json!({"ports": [{"port": 80}], "clusterIPs": ["10.96.7.8", "fd00:96::77"]}),
        json!({"ports": [{"port": 80}], "clusterIPs": ["10.96.7.8", "fd00:96::77"], "ipFamilyPolicy": "RequireDualStack"}),
        json!({"ports": [{"port": 80}], "ipFamilies": ["IPv6"]}),
        json!({"ports": [{"port": 80}], "ipFamilies": ["IPv6", "IPv4"]}),
        json!({"ports": [{"port": 80}], "ipFamilies": ["IPv6", "IPv6"]}),
        json!({"ports": [{"port": 80}], "ipFamilies": ["IPv5"]}),
        json!({"ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack"}),
        json!({"ports": [{"port": 80}], "ipFamilyPolicy": "Maybe"}),
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30077}]}),
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30077}]}),
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
        json!({"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30078}]}),
        json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30079}, {"name": "b", "port": 81, "nodePort": 30079}]}),
        json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30079}, {"name": "b", "port": 81, "nodePort": 30079, "protocol": "UDP"}]}),
        json!({"type": "ExternalName", "externalName": "a.example"}),
        json!({"type": "ExternalName"}),
        json!({"type": "ExternalName", "externalName": "a.example", "clusterIP": "10.96.7.20"}),
        json!({"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": false}),
        json!({"type": "LoadBalancer", "ports": [{"port": 80}], "loadBalancerClass": "example.com/x", "loadBalancerIP": "192.0.2.3"}),
        json!({"type": "LoadBalancer", "ports": [{"port": 80}], "externalTrafficPolicy": "Local", "healthCheckNodePort": 30099}),
        json!({"type": "Sideways", "ports": [{"port": 80}]}),
        json!({}),
        json!({"ports": [{"port": 80, "targetPort": "A B"}]}),
        json!({"ports": [{"port": 80}, {"port": 81}]}),
        json!({"ports": [{"port": 0}]}),
        json!({"ports": [{"port": 80, "protocol": "ICMP"}]}),
        json!({"ports": [{"port": 80, "appProtocol": "kubernetes.io/nope"}]}),
        json!({"ports": [{"port": 80}], "trafficDistribution": "PreferClose"}),
        json!({"ports": [{"port": 80}], "trafficDistribution": "Nope"}),
    ];
    for (i, spec) in specs.into_iter().enumerate() {
        story.add(Request::new(
            format!("create-{i:02}"),
            "POST",
            path,
            json!({"metadata": {"name": format!("s{i}")}, "spec": spec}).to_string(),
        ));
    }
    let change = |name: &str, service: &str, edits: Vec<Edit>| {
        [Request::get(format!("{name} before"), format!("{path}/{service}")), Request::put_last(name, format!("{path}/{service}"), edits)]
    };
    for request in [
        change("to node port", "s0", vec![Edit::set("/spec/type", "NodePort")]),
        change("back", "s0", vec![Edit::set("/spec/type", "ClusterIP")]),
        change("other address", "s0", vec![Edit::set("/spec/clusterIP", "10.96.9.9")]),
        change("address left out", "s0", vec![Edit::remove("/spec/clusterIP"), Edit::remove("/spec/clusterIPs")]),
        change("to headless", "s0", vec![Edit::set("/spec/clusterIP", "None"), Edit::set("/spec/clusterIPs", json!(["None"]))]),
        change("to external", "s0", vec![Edit::set("/spec/type", "ExternalName"), Edit::set("/spec/externalName", "a.example")]),
        change("from external", "s0", vec![Edit::set("/spec/type", "ClusterIP")]),
        change("to dual stack", "s0", vec![Edit::set("/spec/ipFamilyPolicy", "PreferDualStack")]),
        change("to single stack", "s0", vec![Edit::set("/spec/ipFamilyPolicy", "SingleStack")]),
        change("family", "s0", vec![Edit::set("/spec/ipFamilies", json!(["IPv6"]))]),
        change("port", "s15", vec![Edit::set("/spec/ports/0/nodePort", 30088)]),
    ]
    .into_iter()
    .flatten()
    {
        story.add(request);
    }
    story
}

/// What the built-in plugins make of pods and claims.
fn admission() -> Story {
    let mut story = Story::for_pods("sub/admission");
    let pods = subject("/v1/pods");
    story.add(Request::new(
        "priority class",
        "POST",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        r#"{"metadata":{"name":"sub-high"},"value":1000,"preemptionPolicy":"Never"}"#,
    ));
    story.add(Request::new("runtime class", "POST", "/apis/node.k8s.io/v1/runtimeclasses", r#"{"metadata":{"name":"sub-box"},"handler":"h","overhead":{"podFixed":{"cpu":"10m"}},"scheduling":{"nodeSelector":{"box":"y"},"tolerations":[{"key":"box"}]}}"#));
    story.add(Request::new("limit range", "POST", "/api/v1/namespaces/$(ns)/limitranges", r#"{"metadata":{"name":"l"},"spec":{"limits":[{"type":"Container","default":{"cpu":"500m"},"defaultRequest":{"cpu":"50m"},"max":{"cpu":"1"},"min":{"cpu":"10m"}},{"type":"Pod","max":{"cpu":"2"}},{"type":"PersistentVolumeClaim","max":{"storage":"2Gi"}}]}}"#));
    let mut first = true;
    let mut pod = |name: &str, pointer: &str, value: serde_json::Value| {
        let mut object = pods.minimal("x");
        crate::ask::set(&mut object, pointer, value);
        let request = Request::new(name, "POST", format!("{}?dryRun=All", pods.collection()), object.to_string());
        story.add(if std::mem::take(&mut first) { request.settled().settled() } else { request });
    };
    pod("plain", "/metadata/labels/a", json!("b"));
    pod("priority", "/spec/priorityClassName", json!("sub-high"));
    pod("no such priority", "/spec/priorityClassName", json!("none"));
    pod("priority by number", "/spec/priority", json!(5));
    pod("system priority", "/spec/priorityClassName", json!("system-node-critical"));
    pod("runtime", "/spec/runtimeClassName", json!("sub-box"));
    pod("no such runtime", "/spec/runtimeClassName", json!("none"));
    pod("overhead", "/spec/overhead", json!({"cpu": "1"}));
    pod("no such account", "/spec/serviceAccountName", json!("none"));
    pod("old account", "/spec/serviceAccount", json!("default"));
    pod("no token", "/spec/automountServiceAccountToken", json!(false));
    pod("too much", "/spec/containers/0/resources", json!({"limits": {"cpu": "3"}}));
    pod("too little", "/spec/containers/0/resources", json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "1"}}));
    pod("request above limit", "/spec/containers/0/resources", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "500m"}}));
    pod(
        "tolerations",
        "/spec/tolerations",
        json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]),
    );
    pod("images always", "/spec/containers/0/image", json!("x:latest"));
    pod(
        "image of a digest",
        "/spec/containers/0/image",
        json!("x@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    );
    pod("gates", "/spec/schedulingGates", json!([{"name": "a/b"}]));
    pod(
        "gates with node",
        "/spec",
        json!({"nodeName": "n", "schedulingGates": [{"name": "a/b"}], "containers": [{"name": "c", "image": "i"}]}),
    );
    pod("mirror", "/metadata/annotations", json!({"kubernetes.io/config.mirror": "x"}));
    pod("host ports", "/spec", json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}));
    story.add(Request::new(
        "claim too large",
        "POST",
        "/api/v1/namespaces/$(ns)/persistentvolumeclaims",
        r#"{"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"3Gi"}}}}"#,
    ));
    story.add(Request::new(
        "claim",
        "POST",
        "/api/v1/namespaces/$(ns)/persistentvolumeclaims",
        r#"{"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#,
    ));
    story.add(Request::new("claim goes", "DELETE", "/api/v1/namespaces/$(ns)/persistentvolumeclaims/c", ""));
    for level in ["baseline", "restricted", "nonsense"] {
        story.add(Request::patch(
            format!("enforce {level}"),
            "merge",
            "/api/v1/namespaces/$(ns)",
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/warn": "restricted"}}})
                .to_string(),
        ));
        let mut object = pods.minimal("x");
        object["spec"]["hostPID"] = json!(true);
        story.add(
            Request::new(format!("privileged under {level}"), "POST", format!("{}?dryRun=All", pods.collection()), object.to_string())
                .settled(),
        );
        let deployment = subject("apps/v1/deployments");
        story.add(Request::new(
            format!("deployment under {level}"),
            "POST",
            format!("{}?dryRun=All", deployment.collection()),
            deployment.minimal("x").to_string(),
        ));
    }
    story
}

fn collections_of_pods() -> Story {
    let mut story = Story::for_pods("sub/collection");
    let pods = subject("/v1/pods");
    for name in ["a", "b", "c"] {
        let mut pod = pods.minimal(name);
        pod["spec"]["nodeName"] = json!("n");
        pod["metadata"]["labels"]["name"] = json!(name);
        story.add(Request::new(format!("create {name}"), "POST", pods.collection(), pod.to_string()));
    }
    story.add(Request::new("by label", "DELETE", format!("{}?labelSelector=name%3Da", pods.collection()), ""));
    story.add(Request::new(
        "by field, at once",
        "DELETE",
        format!("{}?fieldSelector=metadata.name%3Db", pods.collection()),
        r#"{"gracePeriodSeconds":0}"#,
    ));
    story.add(Request::get("left", pods.collection()));
    story.add(Request::get("left as table", pods.collection()).accept("application/json;as=Table;v=v1;g=meta.k8s.io"));
    story.add(Request::new("foreground", "DELETE", pods.collection(), r#"{"propagationPolicy":"Foreground","gracePeriodSeconds":0}"#));
    story.add(Request::get("left at the end", pods.collection()));
    story
}
