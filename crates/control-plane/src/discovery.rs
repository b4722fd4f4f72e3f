//! What the server serves: every kind once, in the version it prefers.

use client::{Client, Error};
use object::Value;
use object::key::GroupVersionResource;

/// Upstream: aggregated discovery, in one answer for each of the two roots.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) resource: GroupVersionResource,
    pub(crate) kind: String,
    pub(crate) is_namespaced: bool,
    verbs: Vec<String>,
}

impl Served {
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Discovered {
    pub(crate) resources: Vec<Served>,
    /// Groups whose server does not answer.
    pub(crate) failures: Vec<String>,
}

pub(crate) async fn served(client: &Client) -> Result<Discovered, Error> {
    let mut discovered = Discovered::default();
    for root in ["/api", "/apis"] {
        let answer: Value = client.get_as(root, AGGREGATED).await?;
        for group in answer["items"].as_array().into_iter().flatten() {
            read_group(group, &mut discovered);
        }
    }
    Ok(discovered)
}

/// The first version that has a resource is the preferred one.
fn read_group(group: &Value, discovered: &mut Discovered) {
    let group_name = group["metadata"]["name"].as_str().unwrap_or("");
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for version in group["versions"].as_array().into_iter().flatten() {
        let version_name = text(&version["version"]);
        if version["freshness"] == "Stale" {
            discovered.failures.push(format!("{group_name}/{version_name}: stale GroupVersion discovery"));
        }
        for resource in version["resources"].as_array().into_iter().flatten() {
            let plural = text(&resource["resource"]);
            let is_known = discovered.resources.iter().any(|s| s.resource.group == group_name && s.resource.resource == plural);
            if !is_known {
                discovered.resources.push(Served {
                    resource: GroupVersionResource::new(group_name, version_name.as_str(), plural),
                    kind: text(&resource["responseKind"]["kind"]),
                    is_namespaced: resource["scope"] == "Namespaced",
                    verbs: resource["verbs"].as_array().into_iter().flatten().map(text).collect(),
                });
            }
        }
    }
}
