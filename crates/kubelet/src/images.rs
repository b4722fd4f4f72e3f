//! Getting a container's image: pull policies, credentials, and the events that tell of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use k8s_openapi::api::core::v1::{Container, Secret, Volume};
use object::time::stopwatch;
use oci_image::Credentials;
use pod_plan::effect::{Failure, Note};
use pod_plan::image_name::{PullPolicy, pull_policy, with_default_tag};
use pod_plan::pod::{BoundPod, Role};
use pod_plan::references::References;
use serde_json::Value;

use crate::node::Node;
use crate::seams::Image;

pub(crate) async fn ensure(node: &Node, pod: &BoundPod, role: Role, container: &Container) -> Result<Arc<Image>, Failure> {
    let image = container.image.as_deref().unwrap_or_default();
    let tell = |note: Note| node.tell(pod, &note.about(role, &container.name));
    let reference = with_default_tag(image).map_err(|why| {
        let text = format!("Failed to apply default image tag {image:?}: {why}");
        tell(Note::warning("InspectFailed", text.clone()));
        Failure::new("InvalidImageName", text)
    })?;
    let policy = pull_policy(container);
    if policy != PullPolicy::Always {
        if let Some(found) = node.images.find(&reference) {
            tell(Note::normal("Pulled", format!("Container image {image:?} already present on machine and can be accessed by the pod")));
            return Ok(found);
        }
        if policy == PullPolicy::Never {
            let text = format!("Container image {image:?} is not present with pull policy of Never");
            tell(Note::warning("ErrImageNeverPull", text.clone()));
            return Err(Failure::new("ErrImageNeverPull", text));
        }
    }
    pull(node, pod, &reference, image, &tell).await
}

/// The images that the container mounts, by volume.
pub(crate) async fn ensure_volumes(
    node: &Node,
    pod: &BoundPod,
    role: Role,
    container: &Container,
) -> Result<BTreeMap<String, Arc<Image>>, Failure> {
    let mut found = BTreeMap::new();
    let is_mounted = |volume: &&Volume| container.volume_mounts.iter().flatten().any(|m| m.name == volume.name);
    for volume in pod.spec.volumes.iter().flatten().filter(is_mounted) {
        let Some(source) = &volume.image else { continue };
        let as_if = Container {
            name: container.name.clone(),
            image: source.reference.clone(),
            image_pull_policy: source.pull_policy.clone(),
            ..Container::default()
        };
        found.insert(volume.name.clone(), ensure(node, pod, role, &as_if).await?);
    }
    Ok(found)
}

async fn pull(node: &Node, pod: &BoundPod, reference: &str, image: &str, tell: &(dyn Fn(Note) + Sync)) -> Result<Arc<Image>, Failure> {
    let credentials = credentials(node, pod).await;
    tell(Note::normal("Pulling", format!("Pulling image {image:?}")));
    let began = stopwatch();
    match node.images.pull(reference, &credentials).await {
        Ok(pulled) => {
            let took = go_seconds(began.elapsed());
            let text =
                format!("Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {} bytes.", pulled.size);
            tell(Note::normal("Pulled", text));
            Ok(pulled)
        }
        Err(failure) => {
            tell(Note::warning("Failed", format!("Failed to pull image {image:?}: {}", failure.message)));
            Err(failure)
        }
    }
}

/// As Go prints a duration cut to milliseconds: `12ms`, `1.2s`, `1m2.5s`.
fn go_seconds(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        return if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") };
    }
    let seconds = (ms % 60_000) as f64 / 1000.0;
    if ms < 60_000 { format!("{seconds}s") } else { format!("{}m{seconds}s", ms / 60_000) }
}

async fn credentials(node: &Node, pod: &BoundPod) -> Vec<Credentials> {
    let names = pod.spec.image_pull_secrets.iter().flatten().map(|r| r.name.clone()).filter(|n| !n.is_empty());
    let names = References { secrets: names.collect(), ..References::default() };
    if names.secrets.is_empty() {
        return Vec::new();
    }
    let secrets = match node.objects.fetch(&pod.namespace, &names).await {
        Ok(objects) => objects.secrets,
        Err(e) => {
            tracing::warn!(namespace = pod.namespace, name = pod.name, error = %e, "cannot read image pull secrets");
            return Vec::new();
        }
    };
    let missing: Vec<&str> = secrets.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        let text =
            format!("Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.", missing.join(", "));
        node.tell(pod, &Note::warning("FailedToRetrieveImagePullSecret", text));
    }
    secrets.values().flatten().flat_map(|secret| of_secret(secret)).collect()
}

/// Both forms of docker's configuration: with `auths` around, and the old one without.
fn of_secret(secret: &Secret) -> Vec<Credentials> {
    let content = |key: &str| secret.data.as_ref()?.get(key).and_then(|bytes| serde_json::from_slice::<Value>(&bytes.0).ok());
    let registries = content(".dockerconfigjson").map(|v| v["auths"].clone()).or_else(|| content(".dockercfg"));
    let Some(Value::Object(registries)) = registries else { return Vec::new() };
    registries.into_iter().filter_map(|(registry, entry)| of_entry(&registry, &entry)).collect()
}

fn of_entry(registry: &str, entry: &Value) -> Option<Credentials> {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    let registry = if bare == "index.docker.io" { "docker.io" } else { bare };
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    if let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(text("auth"))
        && let Some((user, secret)) = String::from_utf8_lossy(&decoded).split_once(':')
    {
        (username, password) = (user.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    (!username.is_empty()).then(|| Credentials { host: registry.to_owned(), username, password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn docker_entries_are_read() {
        for (registry, entry, expected) in [
            ("https://index.docker.io/v1/", json!({"auth": "dTpw"}), Some(("docker.io", "u", "p"))),
            ("localhost:5000", json!({"username": "a", "password": "b"}), Some(("localhost:5000", "a", "b"))),
            ("r.example/team", json!({"auth": "dTpwOnE="}), Some(("r.example/team", "u", "p:q"))),
            ("r.example", json!({}), None),
        ] {
            let read = of_entry(registry, &entry);
            let read = read.as_ref().map(|c| (c.host.as_str(), c.username.as_str(), c.password.as_str()));
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn durations_are_gos() {
        for (ms, text) in [(0, "0s"), (12, "12ms"), (1200, "1.2s"), (62_500, "1m2.5s")] {
            assert_eq!(go_seconds(Duration::from_millis(ms)), text);
        }
    }
}
