//! The commands of scripts, as kubectl has them, and those that let time pass and do harm.

use std::time::Duration;

use client::{Client, Error};
use kinds::Resource;
use object::key::{GroupVersionKind, GroupVersionResource, ObjectKey};
use object::plan::{DeleteOptions, PatchKind, Propagation};
use serde_json::{Value, json};
use simulation::Simulation;

use crate::{nodes, rollout, table};

pub(crate) async fn run(simulation: &mut Simulation, command: &str, input: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let client = simulation.client.clone();
    let answer = match words[..] {
        ["settle"] => {
            simulation.settle().await;
            Ok(String::new())
        }
        ["tick", time] => {
            simulation.tick(duration(time)).await;
            Ok(String::new())
        }
        ["crash", node] => silent(simulation.crash(node)),
        ["boot", node] => silent(simulation.boot(node)),
        ["cut", node] => silent(simulation.cut(node)),
        ["heal", node] => silent(simulation.heal(node)),
        ["sicken", container] => silent(simulation.set_sick(container, true)),
        ["cure", container] => silent(simulation.set_sick(container, false)),
        ["apply"] => apply(&client, input).await,
        ["scale", what, n] => {
            let n: u32 = n.parse().expect("how many replicas");
            patch(&client, what, &json!({"spec": {"replicas": n}})).await.map(|()| format!("{what} scaled\n"))
        }
        ["set-image", what, image] => set_image(&client, what, image).await,
        ["undo", what] => rollout::undo(&client, &path(what), None).await,
        ["undo", what, revision] => rollout::undo(&client, &path(what), revision.parse().ok()).await,
        ["history", what] => rollout::history(&client, &path(what)).await,
        ["pause", what] => patch(&client, what, &json!({"spec": {"paused": true}})).await.map(|()| format!("{what} paused\n")),
        ["resume", what] => patch(&client, what, &json!({"spec": {"paused": null}})).await.map(|()| format!("{what} resumed\n")),
        ["suspend", what] => patch(&client, what, &json!({"spec": {"suspend": true}})).await.map(|()| format!("{what} suspended\n")),
        ["label", what, label] => {
            let (key, value) = label.split_once('=').expect("key=value");
            patch(&client, what, &json!({"metadata": {"labels": {key: value}}})).await.map(|()| format!("{what} labeled\n"))
        }
        ["taint", node, taint] => nodes::taint(&client, node, taint).await,
        ["cordon", node] => nodes::cordon(&client, node, true).await,
        ["uncordon", node] => nodes::cordon(&client, node, false).await,
        ["drain", node] => nodes::drain(&client, node).await,
        ["delete", what, ref options @ ..] => delete(&client, what, options).await,
        ["events", reason] => table::events(&client, reason).await,
        ["crash-control-plane"] => silent(simulation.crash_control_plane()),
        ["start-control-plane"] => {
            simulation.start_control_plane().await;
            Ok(String::new())
        }
        ["patch", what, subresource] => {
            let patch: Value = serde_saphyr::from_str(input).expect("YAML");
            let path = format!("{}/{subresource}", path(what));
            client.patch::<Value>(&path, PatchKind::Merge, &patch).await.map(|_| format!("{what} {subresource} patched\n"))
        }
        ["show", what, pointer] => {
            let object: Result<Value, Error> = client.get(&path(what)).await;
            object.map(|object| format!("{}\n", object.pointer(pointer).unwrap_or(&Value::Null)))
        }
        ["get", what, ref options @ ..] => table::get(&client, &resource(what), options).await,
        _ => panic!("no such command: {command}"),
    };
    answer.unwrap_or_else(|e| format!("error: {e}\n"))
}

fn silent((): ()) -> Result<String, Error> {
    Ok(String::new())
}

pub(crate) fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("no time: {text}"),
    };
    Duration::from_secs(number.parse::<u64>().expect("a number") * seconds)
}

/// By plural, singular or short name.
fn resource(name: &str) -> GroupVersionResource {
    let is_named = |r: &&std::sync::Arc<Resource>| r.plural == name || r.singular == name || r.short_names.iter().any(|s| s == name);
    let found = kinds::builtin().resources.iter().find(is_named).unwrap_or_else(|| panic!("no such resource: {name}"));
    GroupVersionResource::new(&found.group, &found.version, &found.plural)
}

/// The path of `deployment/web`, in the namespace `default` if it has any.
fn path(what: &str) -> String {
    let (kind, name) = what.split_once('/').expect("kind/name");
    let resource = resource(kind);
    let same = kinds::builtin().resource(&resource.group, &resource.version, &resource.resource).expect("just found");
    resource.path(&ObjectKey::new(if same.namespaced { "default" } else { "" }, name))
}

async fn patch(client: &Client, what: &str, patch: &Value) -> Result<(), Error> {
    client.patch::<Value>(&path(what), PatchKind::Strategic, patch).await.map(drop)
}

async fn apply(client: &Client, documents: &str) -> Result<String, Error> {
    let mut said = String::new();
    for document in documents.split("---\n") {
        let object: Value = serde_saphyr::from_str(document).expect("YAML");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let gvk = GroupVersionKind::from_api_version(&text(&object["apiVersion"]), &text(&object["kind"]));
        let kind = kinds::builtin().by_kind(&gvk).expect("a built-in kind");
        let namespace = match (kind.namespaced, text(&object["metadata"]["namespace"])) {
            (true, namespace) if namespace.is_empty() => "default".to_owned(),
            (_, namespace) => namespace,
        };
        let name = text(&object["metadata"]["name"]);
        let path = GroupVersionResource::new(&kind.group, &kind.version, &kind.plural).path(&ObjectKey::new(namespace, name.as_str()));
        let _: Value = client.patch(&path, PatchKind::Apply { field_manager: "script", force: true }, &object).await?;
        said += &format!("{}/{name} applied\n", kind.singular);
    }
    Ok(said)
}

/// With `--cascade=background`, as kubectl does, or another way.
async fn delete(client: &Client, what: &str, options: &[&str]) -> Result<String, Error> {
    let propagation = match options {
        [] | ["--cascade=background"] => Propagation::Background,
        ["--cascade=orphan"] => Propagation::Orphan,
        ["--cascade=foreground"] => Propagation::Foreground,
        _ => panic!("no such options: {options:?}"),
    };
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    client.delete(&path(what), &options).await.map(|_| format!("{what} deleted\n"))
}

/// `container=image`.
async fn set_image(client: &Client, what: &str, image: &str) -> Result<String, Error> {
    let (container, image) = image.split_once('=').expect("container=image");
    let containers = json!([{"name": container, "image": image}]);
    patch(client, what, &json!({"spec": {"template": {"spec": {"containers": containers}}}})).await?;
    Ok(format!("{what} image updated\n"))
}
