//! Patches in depth: JSON patch operations, merge patch, and strategic merge with its directives, on a Deployment and a Service.

use serde_json::{Value, json};

use crate::seeds::subject;
use crate::story::{Request, Story};

pub(super) fn stories() -> Vec<Story> {
    vec![json_patches(), merges(), strategic()]
}

fn on_deployment(name: &str) -> (Story, String) {
    let mut story = Story::for_pods(name);
    let deployments = subject("apps/v1/deployments");
    story.add(Request::new("create", "POST", deployments.collection(), deployments.rich("d").to_string()));
    (story, deployments.item("d"))
}

fn json_patches() -> Story {
    let (mut story, one) = on_deployment("patch/json");
    let patches = [
        json!([{"op": "replace", "path": "/spec/replicas", "value": 5}]),
        json!([{"op": "replace", "path": "/spec/absent", "value": 5}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "e", "image": "i"}}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "e", "image": "i"}}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/9", "value": {"name": "e", "image": "i"}}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/-1", "value": {"name": "e", "image": "i"}}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/x", "value": {}}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/01", "value": {}}]),
        json!([{"op": "remove", "path": "/spec/template/spec/containers/1"}]),
        json!([{"op": "remove", "path": "/spec/template/spec/containers/7"}]),
        json!([{"op": "remove", "path": "/spec/template/spec/containers/-"}]),
        json!([{"op": "remove", "path": "/metadata/annotations/absent"}]),
        json!([{"op": "add", "path": "/metadata/annotations/a~1b~0c", "value": "1"}]),
        json!([{"op": "add", "path": "/metadata/nothing/deep", "value": "1"}]),
        json!([{"op": "test", "path": "/spec/replicas", "value": 3}]),
        json!([{"op": "test", "path": "/spec/replicas", "value": 4}]),
        json!([{"op": "test", "path": "/spec/replicas", "value": "3"}]),
        json!([{"op": "test", "path": "/spec/absent", "value": null}]),
        json!([{"op": "test", "path": "/spec/absent", "value": 1}]),
        json!([{"op": "test", "path": "/metadata/labels", "value": {"app": "a"}}]),
        json!([{"op": "move", "from": "/metadata/annotations/n", "path": "/metadata/annotations/m"}]),
        json!([{"op": "move", "from": "/metadata/annotations/none", "path": "/metadata/annotations/m"}]),
        json!([{"op": "copy", "from": "/metadata/annotations/n", "path": "/metadata/labels/n"}]),
        json!([{"op": "copy", "from": "/nothing", "path": "/metadata/labels/n"}]),
        json!([{"op": "copy", "path": "/metadata/labels/n"}]),
        json!([{"op": "frobnicate", "path": "/metadata/labels/n"}]),
        json!([{"op": "add", "path": "/metadata/labels/n"}]),
        json!([{"op": "add", "value": 1}]),
        json!([{"path": "/metadata/labels/n", "value": 1}]),
        json!([{"op": "add", "path": "metadata/labels/n", "value": "x"}]),
        json!([{"op": "add", "path": "", "value": {}}]),
        json!([{"op": "replace", "path": "", "value": {}}]),
        json!([{"op": "remove", "path": ""}]),
        json!([{"op": "replace", "path": "/metadata/name", "value": "other"}]),
        json!([{"op": "replace", "path": "/metadata/namespace", "value": "other"}]),
        json!([{"op": "replace", "path": "/apiVersion", "value": "apps/v9"}]),
        json!([{"op": "replace", "path": "/spec/replicas", "value": "many"}]),
        json!([{"op": "add", "path": "/spec/zz", "value": "many"}]),
        json!([{"op": "remove", "path": "/spec/selector"}]),
        json!([{"op": 1, "path": "/spec"}]),
        json!([{"op": "add", "path": 1, "value": 1}]),
        json!({"op": "add"}),
        json!(["x"]),
        json!([null]),
        json!(7),
        json!([{"op": "move", "from": 1, "path": "/metadata/labels/n"}]),
        json!([{"op": "add", "path": "/metadata/labels/n", "value": "x", "zz": 1}]),
        json!([{"op": "replace", "path": "", "value": []}]),
        json!([]),
        Value::Array(vec![json!({"op": "test", "path": "/spec/replicas", "value": 3}); 10_001]),
    ];
    for (i, patch) in patches.into_iter().enumerate() {
        for validation in ["", "&fieldValidation=Strict"] {
            story.add(Request::patch(format!("{i:02}{validation}"), "json", format!("{one}?dryRun=All{validation}"), patch.to_string()));
        }
    }
    story
}

fn merges() -> Story {
    let (mut story, one) = on_deployment("patch/merge");
    let patches = [
        r#"{"spec":{"replicas":null}}"#,
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"i"}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"containers":null}}}}"#,
        r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
        r#"{"spec":null}"#,
        r#"{"metadata":{"annotations":null}}"#,
        r#"{"metadata":{"annotations":{"n":null,"new":"1"}}}"#,
        r#"{"metadata":{"annotations":{"deep":{"x":1}}}}"#,
        r#"{"metadata":{"finalizers":["example.com/a"],"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"}]}}"#,
        r#"{"spec":{"replicas":"5"}}"#,
        r#"{"spec":{"replicas":5.0}}"#,
        r#"{"spec":{"replicas":5.5}}"#,
        r#"{"spec":{"strategy":{"type":"Recreate"}}}"#,
        r#"{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}"#,
        r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":"25%"}}}}"#,
        r#"{"status":{"replicas":7}}"#,
        r#"{"metadata":{"generation":99}}"#,
        r#"{"metadata":{"resourceVersion":"1"}}"#,
        r#"{"metadata":{"resourceVersion":""}}"#,
        r#"{"metadata":{"uid":"11111111-2222-3333-4444-555555555555"}}"#,
        r#"{"metadata":{"deletionTimestamp":"2001-02-03T04:05:06Z"}}"#,
        r#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#,
        r#"{"spec":{"zz":1},"yy":2}"#,
        r#"{"spec":{"selector":{"matchLabels":{"app":"b"}}}}"#,
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"}}"#,
        r#"{"apiVersion":"v1"}"#,
        r#"{"kind":"Pod"}"#,
        r#"{"metadata":{"labels":{"a":"1","a":"2"}},"zz":1}"#,
        "null",
        "[]",
        "7",
    ];
    for (i, patch) in patches.into_iter().enumerate() {
        for validation in ["", "&fieldValidation=Strict", "&fieldValidation=Ignore"] {
            story.add(Request::patch(format!("{i:02}{validation}"), "merge", format!("{one}?dryRun=All{validation}"), patch));
        }
    }
    story
}

fn strategic() -> Story {
    let (mut story, one) = on_deployment("patch/strategic");
    let pod = |text: &str| format!(r#"{{"spec":{{"template":{{"spec":{text}}}}}}}"#);
    let patches = [
        pod(r#"{"containers":[{"name":"c","image":"new"}]}"#),
        pod(r#"{"containers":[{"name":"z","image":"new"}]}"#),
        pod(r#"{"containers":[{"image":"no key"}]}"#),
        pod(r#"{"containers":[{"name":"d","$patch":"delete"}]}"#),
        pod(r#"{"containers":[{"name":"none","$patch":"delete"}]}"#),
        pod(r#"{"containers":[{"$patch":"delete"}]}"#),
        pod(r#"{"containers":[{"name":"x","image":"i"},{"$patch":"replace"}]}"#),
        pod(r#"{"containers":[{"$patch":"sideways"}]}"#),
        pod(r#"{"$setElementOrder/containers":[{"name":"d"},{"name":"c"}],"containers":[{"name":"d","image":"x"}]}"#),
        pod(r#"{"$setElementOrder/containers":[{"name":"d"}],"containers":[{"name":"c","image":"x"}]}"#),
        pod(r#"{"$setElementOrder/containers":[{"name":"d"},{"name":"c"}]}"#),
        pod(r#"{"$setElementOrder/containers":"x"}"#),
        pod(r#"{"containers":[{"name":"c","env":[{"name":"A","value":"9"},{"name":"Z","value":"1"}]}]}"#),
        pod(r#"{"containers":[{"name":"c","env":[{"name":"A","$patch":"delete"}]}]}"#),
        pod(r#"{"containers":[{"name":"c","env":null}]}"#),
        pod(r#"{"containers":[{"name":"c","ports":[{"containerPort":80,"name":"other"},{"containerPort":81}]}]}"#),
        pod(r#"{"containers":[{"name":"c","volumeMounts":[{"mountPath":"/v","name":"v","readOnly":true}]}]}"#),
        pod(r#"{"containers":[{"name":"c","args":["x"],"command":["y"]}]}"#),
        pod(r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":null,"memory":"1Gi"}}}]}"#),
        pod(r#"{"containers":[{"name":"c","resources":{"$patch":"replace","limits":{"memory":"1Gi"}}}]}"#),
        pod(r#"{"volumes":[{"name":"v","configMap":{"name":"m"}}]}"#),
        pod(r#"{"volumes":[{"$retainKeys":["name","configMap"],"name":"v","configMap":{"name":"m"}}]}"#),
        pod(r#"{"volumes":[{"$retainKeys":["name"],"name":"v","configMap":{"name":"m"}}]}"#),
        pod(r#"{"volumes":[{"$retainKeys":"x","name":"v"}]}"#),
        pod(r#"{"volumes":null}"#),
        pod(r#"{"topologySpreadConstraints":[{"topologyKey":"zone","maxSkew":5,"whenUnsatisfiable":"DoNotSchedule"}]}"#),
        pod(r#"{"tolerations":[{"key":"a"}]}"#),
        pod(r#"{"nodeSelector":{"$patch":"replace","x":"y"}}"#),
        pod(r#"{"imagePullSecrets":[{"name":"a"}]}"#),
        pod(r#"{"hostAliases":[{"ip":"1.2.3.4","hostnames":["a"]}]}"#),
        pod(r#"{"$patch":"delete"}"#),
        pod(r#"{"affinity":{"$patch":"delete"}}"#),
        pod(r#"{"containers":"x"}"#),
        pod(r#"{"containers":[1]}"#),
        pod(r#"{"containers":[{"name":1}]}"#),
        pod(r#"{"zz":{"$patch":"replace"}}"#),
        r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#.to_owned(),
        r#"{"spec":{"strategy":{"type":"Recreate"}}}"#.to_owned(),
        r#"{"$patch":"replace","metadata":{"name":"d"}}"#.to_owned(),
        r#"{"$patch":"delete"}"#.to_owned(),
        r#"{"metadata":{"finalizers":["example.com/a","example.com/b"]}}"#.to_owned(),
        r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["example.com/b"]}}"#.to_owned(),
        r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":"x"}}"#.to_owned(),
        r#"{"metadata":{"$setElementOrder/finalizers":["example.com/b","example.com/a"],"finalizers":["example.com/a","example.com/b"]}}"#
            .to_owned(),
        r#"{"metadata":{"ownerReferences":[{"uid":"u","apiVersion":"v1","kind":"Pod","name":"p"}]}}"#.to_owned(),
        r#"{"metadata":{"labels":{"$patch":"merge","x":"y"}}}"#.to_owned(),
        r#"{"metadata":{"labels":null}}"#.to_owned(),
        r#"{"spec":{"selector":{"matchExpressions":[{"key":"x","operator":"Exists"}]}}}"#.to_owned(),
        r#"{"status":{"conditions":[{"type":"X","status":"True"}]}}"#.to_owned(),
        r#"{"zz":1}"#.to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "7".to_owned(),
        r#"{"metadata":{"labels":{"a":"1","a":"2"}},"zz":1}"#.to_owned(),
        pod(r#"{"zz":1.5e3,"$setElementOrder/containers":[{"name":"d"},{"name":"c"}],"containers":[{"name":"d","image":"x","yy":1e30}]}"#),
        pod(r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":true}}}]}"#),
        pod(r#"{"containers":[{"name":"c","resources":7}]}"#),
        pod(r#"{"containers":[{"name":"c","ports":[{"containerPort":"x"}]}]}"#),
        pod(r#"{"containers":[{"name":"c","readinessProbe":{"httpGet":{"port":true}}}]}"#),
        pod(r#"{"restartPolicy":1}"#),
        pod(r#"{"hostNetwork":"x"}"#),
        pod(r#"{"nodeSelector":[]}"#),
        r#"{"spec":{"replicas":5.0}}"#.to_owned(),
        r#"{"spec":{"replicas":5.5}}"#.to_owned(),
        r#"{"spec":{"replicas":"5"}}"#.to_owned(),
        r#"{"spec":{"replicas":99999999999}}"#.to_owned(),
        r#"{"metadata":{"creationTimestamp":7}}"#.to_owned(),
        r#"{"metadata":7}"#.to_owned(),
    ];
    for (i, patch) in patches.into_iter().enumerate() {
        for validation in ["", "&fieldValidation=Strict"] {
            story.add(Request::patch(
                format!("{i:02}{validation}"),
                "strategic-merge",
                format!("{one}?dryRun=All{validation}"),
                patch.clone(),
            ));
        }
    }
    let services = subject("/v1/services");
    let one = services.item("s");
    story.add(Request::new("service", "POST", services.collection(), services.rich("s").to_string()));
    for (i, patch) in [
        r#"{"spec":{"ports":[{"port":80,"targetPort":8080}]}}"#,
        r#"{"spec":{"ports":[{"port":80,"$patch":"delete"}]}}"#,
        r#"{"spec":{"ports":[{"port":99,"name":"new"}]}}"#,
        r#"{"spec":{"ports":[{"port":53,"protocol":"TCP","name":"tcp-dns"}]}}"#,
        r#"{"spec":{"type":"ClusterIP"}}"#,
        r#"{"spec":{"type":"ExternalName","externalName":"a.example"}}"#,
        r#"{"spec":{"clusterIP":"None"}}"#,
        r#"{"spec":{"clusterIP":null,"clusterIPs":null}}"#,
        r#"{"spec":{"selector":null}}"#,
        r#"{"spec":{"sessionAffinity":"None"}}"#,
        r#"{"spec":{"ipFamilyPolicy":"SingleStack"}}"#,
        r#"{"spec":{"externalTrafficPolicy":"Cluster"}}"#,
        r#"{"spec":{"internalTrafficPolicy":"Local"}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        story.add(Request::patch(format!("service-{i:02}"), "strategic-merge", format!("{one}?dryRun=All"), patch));
        story.add(Request::patch(format!("service-merge-{i:02}"), "merge", format!("{one}?dryRun=All"), patch));
    }
    story
}
