//! The engine without HTTP: what needs several tasks at once. Everything else is tested through the API server's handler.

use std::sync::Arc;

use authz::UserInfo;
use object::selector::FieldSelector;
use object::time::Clock;
use object::{Value, meta};
use serde_json::json;

use crate::entropy::Entropy;
use crate::options::{DeleteOptions, ListOptions, WriteOptions};
use crate::services::ServiceSettings;
use crate::{Registry, Request, Watch, WatchEvent};

fn registry(services: ServiceSettings) -> Registry {
    let clock = Clock::virtual_time(|| "2026-11-22T10:00:00Z".parse().expect("a time"));
    Registry::new(store::Store::memory(), clock, Entropy::seeded(7), services)
}

fn request(registry: &Registry, plural: &str, name: &str) -> Request {
    let resource = registry.builtin("", "v1", plural).expect("a core resource");
    let namespace = if resource.namespaced { "default" } else { "" }.to_owned();
    Request { resource, subresource: String::new(), namespace, name: name.to_owned(), user: Arc::new(UserInfo::default()) }
}

async fn setup() -> Registry {
    setup_with(ServiceSettings::default()).await
}

async fn setup_with(services: ServiceSettings) -> Registry {
    let registry = registry(services);
    registry.create_namespaces(&Arc::new(UserInfo::default())).await.expect("namespaces");
    let account = json!({"metadata": {"name": "default"}});
    registry.create(&request(&registry, "serviceaccounts", ""), account, &WriteOptions::default()).await.expect("an account");
    registry
}

async fn create_pod(registry: &Registry, name: &str, labels: Value) {
    let pod = json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    registry.create(&request(registry, "pods", ""), pod, &WriteOptions::default()).await.expect("a pod");
}

async fn bind(registry: &Registry, name: &str, node: &str) {
    let request = Request { subresource: "binding".into(), ..request(registry, "pods", name) };
    registry.bind(&request, json!({"metadata": {"name": name}, "target": {"name": node}}), &WriteOptions::default()).await.expect("bound");
}

fn watch(registry: &Registry, selector: &str, version: &str) -> Watch {
    let options = ListOptions {
        fields: FieldSelector::parse(selector).expect("a selector"),
        resource_version: version.to_owned(),
        ..ListOptions::default()
    };
    registry.watch(&request(registry, "pods", "").resource, "", &options).expect("a watch")
}

async fn next(registry: &Registry, watch: &mut Watch) -> String {
    let resource = registry.builtin("", "v1", "pods").expect("pods");
    let events = watch.next().await.unwrap_or_default();
    let shown = events.iter().map(|event| match event {
        WatchEvent::Added(s) | WatchEvent::Modified(s) | WatchEvent::Deleted(s) => {
            let kind = match event {
                WatchEvent::Added(_) => "added",
                WatchEvent::Modified(_) => "modified",
                _ => "deleted",
            };
            format!("{kind} {}", meta::name(&registry.decode(&resource, s).expect("decodes")))
        }
        WatchEvent::Bookmark { .. } => "bookmark".to_owned(),
        WatchEvent::Error(status) => status.to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[tokio::test(start_paused = true)]
async fn watchers_of_a_node_hear_of_its_pods_alone() {
    let registry = setup().await;
    create_pod(&registry, "a", json!({})).await;
    let start = registry.revision().0.to_string();
    bind(&registry, "a", "n1").await;
    // From the past, from now, and of another node.
    let mut early = watch(&registry, "spec.nodeName=n1", &start);
    let mut late = watch(&registry, "spec.nodeName=n1", &registry.revision().0.to_string());
    let mut other = watch(&registry, "spec.nodeName=n2", &start);
    assert_eq!(next(&registry, &mut early).await, "added a");
    create_pod(&registry, "b", json!({})).await;
    bind(&registry, "b", "n1").await;
    assert_eq!(next(&registry, &mut early).await, "added b");
    assert_eq!(next(&registry, &mut late).await, "added b");
    registry
        .delete(&request(&registry, "pods", "a"), &DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() })
        .await
        .expect("gone");
    assert_eq!(next(&registry, &mut early).await, "deleted a");
    drop(early);
    drop(late);
    create_pod(&registry, "c", json!({})).await;
    bind(&registry, "c", "n2").await;
    assert_eq!(next(&registry, &mut other).await, "added c");
}

#[tokio::test(start_paused = true)]
async fn quiet_watches_get_bookmarks_that_move_with_the_store() {
    let registry = setup().await;
    let options = ListOptions {
        fields: FieldSelector::parse("spec.nodeName=n1").expect("a selector"),
        resource_version: registry.revision().0.to_string(),
        allow_bookmarks: true,
        timeout_seconds: Some(100),
        ..ListOptions::default()
    };
    let mut watch = registry.watch(&request(&registry, "pods", "").resource, "", &options).expect("a watch");
    let map = json!({"metadata": {"name": "x"}});
    registry.create(&request(&registry, "configmaps", ""), map, &WriteOptions::default()).await.expect("a map");
    let now = registry.revision();
    let mut seen = Vec::new();
    while let Some(events) = watch.next().await {
        seen.extend(events.into_iter().map(|event| matches!(event, WatchEvent::Bookmark { revision, .. } if revision == now)));
    }
    // After a minute, and two seconds before the end.
    assert_eq!(seen, [true, true]);
}

#[tokio::test(start_paused = true)]
async fn racing_writers_all_win_in_turn() {
    let registry = Arc::new(setup().await);
    create_pod(&registry, "a", json!({})).await;
    let writers: Vec<_> = (0..20)
        .map(|i| {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move {
                let patch = crate::Patch {
                    kind: crate::PatchKind::Merge,
                    tree: json!({"metadata": {"labels": {format!("l{i}"): "x"}}}),
                    faults: Vec::new(),
                    refusal: None,
                };
                registry.patch(&request(&registry, "pods", "a"), &patch, &WriteOptions::default(), &mut Vec::new()).await
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("ran").expect("patched");
    }
    let resource = request(&registry, "pods", "a").resource;
    let stored = registry.get(&resource, "default", "a", "").expect("there");
    let pod = registry.decode(&resource, &stored).expect("decodes");
    assert_eq!(meta::labels(&pod).map(serde_json::Map::len), Some(20));
}

#[tokio::test(start_paused = true)]
async fn no_address_is_given_twice() {
    // As many ports as Services: whoever is too late must choose again.
    let services = ServiceSettings { node_ports: 30_000..=30_049, ..ServiceSettings::default() };
    let registry = Arc::new(setup_with(services).await);
    let makers: Vec<_> = (0..50)
        .map(|i| {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move {
                let service = json!({"metadata": {"name": format!("s{i}")}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
                registry.create(&request(&registry, "services", ""), service, &WriteOptions::default()).await
            })
        })
        .collect();
    for maker in makers {
        maker.await.expect("ran").expect("a service");
    }
    let resource = request(&registry, "services", "").resource;
    let list = registry.list(&resource, "", &ListOptions::default()).expect("a list");
    let mut taken: Vec<String> = Vec::new();
    for record in &list.records {
        let service = registry.decode(&resource, &crate::form::Stored::from(&**record)).expect("decodes");
        taken.push(service["spec"]["clusterIP"].to_string());
        taken.push(service["spec"]["ports"][0]["nodePort"].to_string());
    }
    let n_all = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!((n_all, taken.len()), (100, 100));
}

#[tokio::test]
async fn an_evicted_pod_says_why_it_goes() {
    let registry = setup().await;
    create_pod(&registry, "a", json!({})).await;
    bind(&registry, "a", "n1").await;
    let eviction = Request { subresource: "eviction".into(), ..request(&registry, "pods", "a") };
    let version = meta::resource_version(&registry.current(&eviction).expect("there").tree).to_owned();
    let asked = |version: &str| json!({"metadata": {"name": "a"}, "deleteOptions": {"preconditions": {"resourceVersion": version}}});
    let old = registry.evict(&eviction, &asked("1"), &WriteOptions::default()).await;
    assert_eq!(old.map(drop).map_err(|status| status.code), Err(409), "another version was meant");
    registry.evict(&eviction, &asked(&version), &WriteOptions::default()).await.expect("evicted");
    let pod = registry.current(&eviction).expect("it has its grace period").tree;
    assert!(meta::deletion_timestamp(&pod).is_some());
    let condition = pod["status"]["conditions"].as_array().expect("conditions").iter().find(|c| c["type"] == "DisruptionTarget");
    assert_eq!(condition.map(|c| &c["reason"]), Some(&json!("EvictionByEvictionAPI")));
}

#[tokio::test]
async fn empty_lists_and_maps_count_until_the_object_is_stored() {
    let registry = setup().await;
    let mut roles = request(&registry, "configmaps", "");
    roles.resource = registry.builtin("rbac.authorization.k8s.io", "v1", "roles").expect("roles");
    let options = WriteOptions { field_manager: "m".to_owned(), ..WriteOptions::default() };
    let sent = json!({"metadata": {"name": "a", "labels": {}, "finalizers": []}, "rules": []});
    registry.create(&roles, sent, &options).await.expect("a role");
    let role = Request { name: "a".into(), ..roles };
    let first = registry.current(&role).expect("there").tree;
    assert_eq!((&first["rules"], first["metadata"].get("labels")), (&Value::Null, None));
    assert_eq!(
        first["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:rules": {}}),
        "what is written counts, what is left out does not"
    );
    let patched = async |kind, tree| {
        let patch = crate::Patch { kind, tree, faults: Vec::new(), refusal: None };
        registry.patch(&role, &patch, &options, &mut Vec::new()).await.expect("patched");
        registry.current(&role).expect("there").tree
    };
    // Nothing has changed once it is as it would be stored.
    let labels = json!({"metadata": {"labels": {}, "ownerReferences": []}});
    assert_eq!(patched(crate::PatchKind::Merge, labels.clone()).await, first);
    assert_eq!(patched(crate::PatchKind::Strategic, labels).await, first);
    assert_eq!(patched(crate::PatchKind::Json, json!([{"op": "add", "path": "/metadata/annotations", "value": {}}])).await, first);
    let labelled = patched(crate::PatchKind::Merge, json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(labelled["metadata"]["labels"], json!({"a": "b"}));
    let emptied = patched(crate::PatchKind::Json, json!([{"op": "remove", "path": "/metadata/labels/a"}])).await;
    assert_eq!(emptied["metadata"].get("labels"), None);
    assert_eq!(emptied["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:rules": {}}));
}
