//! Controllers at work on many objects, seen by a client: a Deployment of a thousand, a namespace of a thousand.

use std::collections::BTreeSet;
use std::time::Instant;

use client::options::Selection;
use client::watch::{Event, Start, Tree, Watch};
use object::Value;
use object::key::GroupVersionResource;
use object::plan::{DeleteOptions, PatchKind};
use serde_json::json;

use crate::Result;
use crate::lab::{Lab, PATIENCE};
use crate::load::{self, Answered, Turn};
use crate::table::{Bar, Row};

const N: usize = 1_000;
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const NAMESPACE: &str = "/api/v1/namespaces/crowded";

/// Ends when as many pods are there as wanted, by what a watch says.
async fn until_count(pods: &mut Watch<Tree>, n_wanted: usize, known: &mut BTreeSet<String>) -> Result<()> {
    let counting = async {
        while known.len() != n_wanted {
            let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
            match pods.next().await? {
                Event::Added(pod) | Event::Modified(pod) => drop(known.insert(name(&pod.0))),
                Event::Deleted(pod) => drop(known.remove(&name(&pod.0))),
                Event::Bookmark { .. } => {}
            }
        }
        Ok::<(), client::Error>(())
    };
    let counted = tokio::time::timeout(PATIENCE, counting).await;
    Ok(counted.map_err(|_| format!("the pods did not become {n_wanted}"))??)
}

/// The pods name a scheduler that nobody runs: what is measured is controllers and API, as on upstream's fake nodes.
pub(crate) fn replicas(lab: &Lab) -> Result<Vec<Row>> {
    let client = lab.client()?;
    let mut spec = crate::load::load_spec();
    spec["schedulerName"] = Value::from("nobody");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": spec},
        },
    });
    let (up, down) = lab.runtime.block_on(async {
        client.create::<Value>(DEPLOYMENTS, &deployment).await?;
        let selection = Selection { namespace: "default".to_owned(), ..Selection::labels("app=many") };
        let mut pods = Watch::<Tree>::new(client.clone(), &GroupVersionResource::new("", "v1", "pods"), &selection, Start::Initial);
        let mut known = BTreeSet::new();
        let path = format!("{DEPLOYMENTS}/many");
        let began = Instant::now();
        client.patch::<Value>(&path, PatchKind::Merge, &json!({"spec": {"replicas": N}})).await?;
        until_count(&mut pods, N, &mut known).await?;
        let up = began.elapsed().as_secs_f64();
        let began = Instant::now();
        client.delete(&path, &DeleteOptions::default()).await?;
        until_count(&mut pods, 0, &mut known).await?;
        Result::Ok((up, began.elapsed().as_secs_f64()))
    })?;
    Ok(vec![
        Row::new("Deployment scaled 0 → 1,000: all pods created", "s", Some(3.3), Bar::AtMost(0.7), up),
        Row::new("that Deployment deleted: all pods gone", "s", Some(8.9), Bar::AtMost(1.5), down),
    ])
}

async fn create_crowd(turn: Turn) -> Answered {
    turn.client.create(&format!("{NAMESPACE}/configmaps"), &load::config_map(&format!("one-{}", turn.i))).await
}

pub(crate) fn namespace(lab: &Lab) -> Result<Vec<Row>> {
    let clients = load::clients(lab, load::N_CLIENTS)?;
    let client = &clients[0];
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "crowded"}});
    lab.runtime.block_on(client.create::<Value>("/api/v1/namespaces", &namespace))?;
    load::in_parallel(lab, &clients, |i| i >= N, create_crowd)?;
    let seconds = lab.runtime.block_on(async {
        let began = Instant::now();
        client.delete(NAMESPACE, &DeleteOptions::default()).await?;
        while client.get::<Value>(NAMESPACE).await.is_ok() {
            if began.elapsed() > PATIENCE {
                return Err("the namespace stays".into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Result::Ok(began.elapsed().as_secs_f64())
    })?;
    Ok(vec![Row::new("namespace with 1,000 ConfigMaps deleted: gone", "s", Some(10.0), Bar::Share(10.0), seconds)])
}
