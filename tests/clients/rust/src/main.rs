//! What Rust programs do with kube-rs, against the cluster of $KUBECONFIG. Any surprise ends it with an error.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    Api, AttachParams, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::wait::{Condition, await_condition, conditions};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, Discovery, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAMESPACE: &str = "rust";
const PATIENCE: Duration = Duration::from_secs(180);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tokio::time::timeout(PATIENCE, everything(Client::try_default().await?)).await??;
    println!("kube-rs is content");
    Ok(())
}

async fn everything(client: Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    reads_and_writes(&maps).await?;
    lists_and_watches(&maps).await?;
    for strategy in [watcher::InitialListStrategy::ListWatch, watcher::InitialListStrategy::StreamingList] {
        reflects(&maps, strategy).await?;
    }
    discovers(&client).await?;
    applies(Api::namespaced(client.clone(), NAMESPACE)).await?;
    enters(&Api::namespaced(client, NAMESPACE)).await?;
    let uid = namespaces.get(NAMESPACE).await?.uid().ok_or("no uid")?;
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    await_condition(namespaces, NAMESPACE, conditions::is_deleted(&uid)).await?;
    Ok(())
}

fn map(name: &str, colour: &str) -> ConfigMap {
    let labels = BTreeMap::from([("tier".to_owned(), "a".to_owned())]);
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    ConfigMap { metadata, data: Some(BTreeMap::from([("colour".to_owned(), colour.to_owned())])), ..ConfigMap::default() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: kube::Result<T>, reason: &str) {
    match result {
        Err(kube::Error::Api(status)) => assert_eq!(status.reason, reason, "{status:?}"),
        other => panic!("{other:?}, not {reason}"),
    }
}

async fn reads_and_writes(maps: &Api<ConfigMap>) -> Result<()> {
    let post = PostParams { field_manager: Some("rust".into()), ..PostParams::default() };
    let created = maps.create(&post, &map("settings", "blue")).await?;
    assert_eq!(created.managed_fields()[0].manager.as_deref(), Some("rust"));
    refused(maps.create(&post, &map("settings", "blue")).await, "AlreadyExists");
    refused(maps.create(&post, &map("Not a name", "blue")).await, "Invalid");
    refused(maps.get("nothing").await, "NotFound");
    assert!(maps.get_opt("nothing").await?.is_none());

    let mut changed = created.clone();
    changed.data = map("settings", "green").data;
    let replaced = maps.replace("settings", &post, &changed).await?;
    refused(maps.replace("settings", &post, &changed).await, "Conflict");
    let merged = maps.patch("settings", &PatchParams::default(), &Patch::Merge(json!({"data": {"shape": "round"}}))).await?;
    assert_eq!(merged.data.map(|data| data.len()), Some(2));
    let strategic = Patch::Strategic(json!({"metadata": {"labels": {"$patch": "replace", "tier": "b"}}}));
    assert_eq!(maps.patch("settings", &PatchParams::default(), &strategic).await?.labels()["tier"], "b");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &map("dry", "none")).await?;
    assert!(maps.get_opt("dry").await?.is_none());
    assert!(maps.get_metadata("settings").await?.resource_version() > replaced.resource_version());
    Ok(())
}

async fn lists_and_watches(maps: &Api<ConfigMap>) -> Result<()> {
    let from = maps.list(&ListParams::default()).await?.metadata.resource_version.ok_or("a list without a version")?;
    for number in 0..7 {
        maps.create(&PostParams::default(), &map(&format!("page-{number}"), "none")).await?;
    }
    let mut page = ListParams::default().labels("tier=a").limit(3);
    let mut names = Vec::new();
    loop {
        let found = maps.list(&page).await?;
        names.extend(found.iter().map(ResourceExt::name_any));
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, (0..7).map(|number| format!("page-{number}")).collect::<Vec<_>>());
    assert_eq!(maps.list(&ListParams::default().fields("metadata.name=page-3")).await?.items.len(), 1);

    maps.delete("page-0", &DeleteParams::default()).await?;
    let mut events = std::pin::pin!(maps.watch(&WatchParams::default().labels("tier=a").timeout(20), &from).await?);
    let mut n_added = 0;
    loop {
        match events.try_next().await? {
            Some(WatchEvent::Added(_)) => n_added += 1,
            Some(WatchEvent::Deleted(gone)) => {
                assert_eq!((gone.name_any(), n_added), ("page-0".to_owned(), 7));
                break;
            }
            Some(WatchEvent::Bookmark(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    refused(maps.list(&ListParams::default().continue_token("nonsense")).await, "BadRequest");
    let old = maps.watch(&WatchParams::default(), "not-a-version").await;
    assert!(old.is_err(), "a watch from nowhere");
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("tier=a")).await?;
    assert!(maps.list(&ListParams::default().labels("tier=a")).await?.items.is_empty());
    Ok(())
}

/// A cache that follows the cluster, filled by a list or by a stream of what there is.
async fn reflects(maps: &Api<ConfigMap>, strategy: watcher::InitialListStrategy) -> Result<()> {
    let config = watcher::Config { initial_list_strategy: strategy, ..watcher::Config::default().labels("tier=a") };
    let (store, writer) = reflector::store();
    maps.create(&PostParams::default(), &map("before", "red")).await?;
    let mut changes = std::pin::pin!(watcher(maps.clone(), config).reflect(writer).applied_objects());
    assert_eq!(changes.try_next().await?.map(|map| map.name_any()).as_deref(), Some("before"));
    maps.create(&PostParams::default(), &map("after", "red")).await?;
    assert_eq!(changes.try_next().await?.map(|map| map.name_any()).as_deref(), Some("after"));
    assert_eq!(store.state().len(), 2);
    // What no longer fits the selector leaves the cache; the one that still does comes last.
    maps.patch("before", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"tier": "b"}}}))).await?;
    maps.patch("after", &PatchParams::default(), &Patch::Merge(json!({"data": {"colour": "blue"}}))).await?;
    changes.try_next().await?;
    assert_eq!(store.state().iter().map(|map| map.name_any()).collect::<Vec<_>>(), ["after"]);
    for name in ["before", "after"] {
        maps.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Objects without types, of kinds that the server tells of.
async fn discovers(client: &Client) -> Result<()> {
    assert_eq!(client.apiserver_version().await?.minor, "37");
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let (resource, _) = discovery.get("batch").ok_or("no batch")?.recommended_kind("Job").ok_or("no Job")?;
    let jobs: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "box", "image": "box:1", "command": ["true"]}]}});
    let job = DynamicObject::new("once", &resource).data(json!({"spec": {"template": template}}));
    jobs.create(&PostParams::default(), &job).await?;
    let is_complete = |job: Option<&DynamicObject>| {
        let conditions = job.and_then(|job| job.data["status"]["conditions"].as_array());
        conditions.is_some_and(|all| all.iter().any(|condition| condition["type"] == "Complete" && condition["status"] == "True"))
    };
    await_condition(jobs.clone(), "once", is_complete).await?;
    jobs.delete("once", &DeleteParams::background()).await?;
    Ok(())
}

fn web(replicas: u32) -> Value {
    let command = "echo served; mkdir -p /srv; echo motto > /srv/motto; exec httpd -f -p 8080 -h /srv";
    let container = json!({"name": "box", "image": "box:1", "command": ["sh", "-c", command]});
    let labels = json!({"app": "web"});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

async fn applies(deployments: Api<Deployment>) -> Result<()> {
    let mine = PatchParams::apply("rust");
    let applied = deployments.patch("web", &mine, &Patch::Apply(web(1))).await?;
    let again = deployments.patch("web", &mine, &Patch::Apply(web(1))).await?;
    assert_eq!(applied.metadata.generation, again.metadata.generation);
    refused(deployments.patch("web", &PatchParams::apply("other"), &Patch::Apply(web(3))).await, "Conflict");
    deployments.patch("web", &PatchParams::apply("other").force(), &Patch::Apply(web(1))).await?;
    await_condition(deployments.clone(), "web", conditions::is_deployment_completed()).await?;
    let scale = deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 2}}))).await?;
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(2));
    let has_two = |web: Option<&Deployment>| web.and_then(|web| web.status.as_ref()?.ready_replicas) == Some(2);
    await_condition(deployments, "web", has_two).await?;
    Ok(())
}

/// Logs, a command inside, and a port.
async fn enters(pods: &Api<Pod>) -> Result<()> {
    let all = pods.list(&ListParams::default().labels("app=web")).await?;
    let name = all.items.first().ok_or("no pod")?.name_any();
    assert!(conditions::is_pod_running().matches_object(all.items.first()));
    assert!(pods.logs(&name, &LogParams::default()).await?.contains("served"));

    let piped = AttachParams::default().stdin(true).stderr(false);
    let mut inside = pods.exec(&name, ["sh", "-c", "read word; echo got $word; exit 3"], &piped).await?;
    let (mut stdin, mut stdout) = (inside.stdin().ok_or("no stdin")?, inside.stdout().ok_or("no stdout")?);
    let status = inside.take_status().ok_or("no status")?;
    stdin.write_all(b"friend\n").await?;
    let mut said = String::new();
    stdout.read_to_string(&mut said).await?;
    assert_eq!(said, "got friend\n");
    let status = status.await.ok_or("no status came")?;
    assert!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");

    let mut forwarded = pods.portforward(&name, &[8080]).await?;
    let mut port = forwarded.take_stream(8080).ok_or("no stream")?;
    port.write_all(b"GET /motto HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    port.read_to_string(&mut answer).await?;
    assert!(answer.ends_with("motto\n"), "{answer}");
    // The server hangs up once no stream is left, so that there is nothing to wait for.
    forwarded.abort();

    let mut lines = pods.log_stream(&name, &LogParams { follow: true, ..LogParams::default() }).await?;
    let mut buffer = [0; 16];
    assert_eq!(futures::AsyncReadExt::read(&mut lines, &mut buffer).await?, b"served\n".len());
    Ok(())
}
