//! What kubectl does with a deployment's revisions: `rollout history`, `rollout undo`.

use client::{Client, Error};
use object::plan::PatchKind;
use serde_json::{Value, json};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// The replica sets of a deployment by their revision.
async fn revisions(client: &Client, deployment: &Value) -> Result<Vec<(u64, Value)>, Error> {
    let sets: Value = client.get("/apis/apps/v1/namespaces/default/replicasets").await?;
    let is_own = |set: &&Value| set["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"];
    let with_revision = |set: &Value| Some((set["metadata"]["annotations"][REVISION].as_str()?.parse().ok()?, set.clone()));
    let mut own: Vec<(u64, Value)> = sets["items"].as_array().into_iter().flatten().filter(is_own).filter_map(with_revision).collect();
    own.sort_by_key(|(revision, _)| *revision);
    Ok(own)
}

pub(crate) async fn history(client: &Client, path: &str) -> Result<String, Error> {
    let deployment: Value = client.get(path).await?;
    let line = |(revision, set): &(u64, Value)| {
        let cause = set["metadata"]["annotations"]["kubernetes.io/change-cause"].as_str().unwrap_or("<none>");
        format!("{revision:<10}{cause}\n")
    };
    Ok(format!("REVISION  CHANGE-CAUSE\n{}", revisions(client, &deployment).await?.iter().map(line).collect::<String>()))
}

/// To a revision, or to the one before the current one.
pub(crate) async fn undo(client: &Client, path: &str, to: Option<u64>) -> Result<String, Error> {
    let deployment: Value = client.get(path).await?;
    if deployment["spec"]["paused"] == json!(true) {
        let why = "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again";
        return Ok(format!("error: {why}\n"));
    }
    let own = revisions(client, &deployment).await?;
    let (wanted, lack) = match to {
        Some(to) => (own.iter().find(|(revision, _)| *revision == to), format!("unable to find specified revision {to} in history")),
        None => (own.iter().rev().nth(1), format!("no rollout history found for deployment {}", deployment["metadata"]["name"])),
    };
    let Some((_, set)) = wanted else { return Ok(format!("error: {lack}\n")) };
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    let patched: Value = client.patch(path, PatchKind::Json, &patch).await?;
    Ok(format!("deployment/{} rolled back\n", patched["metadata"]["name"].as_str().unwrap_or_default()))
}
