//! What kubectl does with nodes: `taint`, `cordon`, `drain`.

use client::{Client, Error};
use object::plan::PatchKind;
use serde_json::{Value, json};

const NODES: &str = "/api/v1/nodes";

async fn patch(client: &Client, node: &str, spec: Value) -> Result<(), Error> {
    client.patch::<Value>(&format!("{NODES}/{node}"), PatchKind::Strategic, &json!({"spec": spec})).await.map(drop)
}

/// `key=value:Effect` in place of all others, or `key-` to take one away.
pub(crate) async fn taint(client: &Client, node: &str, taint: &str) -> Result<String, Error> {
    if let Some(key) = taint.strip_suffix('-') {
        let found: Value = client.get(&format!("{NODES}/{node}")).await?;
        let rest: Vec<&Value> = found["spec"]["taints"].as_array().into_iter().flatten().filter(|taint| taint["key"] != key).collect();
        patch(client, node, json!({"taints": rest})).await?;
        return Ok(format!("node/{node} untainted\n"));
    }
    let (key, rest) = taint.split_once('=').expect("key=value:Effect");
    let (value, effect) = rest.split_once(':').expect("key=value:Effect");
    patch(client, node, json!({"taints": [{"key": key, "value": value, "effect": effect}]})).await?;
    Ok(format!("node/{node} tainted\n"))
}

pub(crate) async fn cordon(client: &Client, node: &str, is_cordoned: bool) -> Result<String, Error> {
    patch(client, node, json!({"unschedulable": is_cordoned})).await?;
    Ok(format!("node/{node} {}\n", if is_cordoned { "cordoned" } else { "uncordoned" }))
}

/// Asks once for each pod that no daemon set keeps there. What is refused now may be asked again later.
pub(crate) async fn drain(client: &Client, node: &str) -> Result<String, Error> {
    let mut said = cordon(client, node, true).await?;
    let pods: Value = client.get(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")).await?;
    let (mut n_evicted, mut refusals) = (0, Vec::new());
    for pod in pods["items"].as_array().into_iter().flatten() {
        let (name, namespace) = (&pod["metadata"]["name"], &pod["metadata"]["namespace"]);
        let is_kept = pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet" || !pod["metadata"]["deletionTimestamp"].is_null();
        if is_kept {
            continue;
        }
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}});
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", namespace.as_str().unwrap_or(""), name.as_str().unwrap_or(""));
        match client.create::<Value>(&path, &eviction).await {
            Ok(_) => n_evicted += 1,
            Err(e) => refusals.push(format!("error when evicting a pod: {e}\n")),
        }
    }
    said += &format!("{n_evicted} evicted\n");
    said.extend(refusals);
    Ok(said)
}
