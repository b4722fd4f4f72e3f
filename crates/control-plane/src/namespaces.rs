//! Rows of namespaces: their accounts, their root CA, and their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::options::Selection;
use client::{Client, Error};
use control_cluster::account::{self, DEFAULT_ACCOUNT, ROOT_CA};
use control_cluster::namespace::{self, Content};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use object::key::ObjectKey;
use object::plan::Plan;
use reconcile::reduced::Reduced;
use reconcile::{Ask, Changed, Controller};

use crate::caches::Caches;
use crate::discovery::{self, Served};

pub(crate) fn accounts(caches: &Arc<Caches>) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("serviceaccount", "service-account-controller", move |ask| {
        let Some(namespace) = planning.namespaces.get(&ask.key) else { return Plan::nothing() };
        let kept = planning.accounts.get(&ObjectKey::new(ask.key.name.as_str(), DEFAULT_ACCOUNT));
        account::plan_account(&namespace, kept.as_deref())
    })
    .watches(&caches.namespaces)
    .maps(&caches.accounts, |changed| namespace_of(&changed.key, DEFAULT_ACCOUNT))
}

pub(crate) fn root_cas(caches: &Arc<Caches>, root_ca: String) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("root-ca-certificate-publisher", "root-ca-cert-publisher", move |ask| {
        let Some(namespace) = planning.namespaces.get(&ask.key) else { return Plan::nothing() };
        let kept = planning.root_cas.get(&ObjectKey::new(ask.key.name.as_str(), ROOT_CA));
        account::plan_root_ca(&namespace, kept.as_deref(), &root_ca)
    })
    .watches(&caches.namespaces)
    .maps(&caches.root_cas, |changed| namespace_of(&changed.key, ROOT_CA))
}

fn namespace_of(key: &ObjectKey, name: &str) -> Vec<ObjectKey> {
    if key.name == name { vec![ObjectKey::cluster(key.namespace.as_str())] } else { Vec::new() }
}

pub(crate) fn namespaces(caches: &Arc<Caches>, client: &Client) -> Controller {
    let (planning, from_pods, client) = (Arc::clone(caches), Arc::clone(caches), client.clone());
    Controller::observing("namespace", "namespace-controller", move |ask| {
        let namespace = planning.namespaces.get(&ask.key);
        let client = client.clone();
        async move {
            match namespace.filter(|namespace| is_leaving(namespace)) {
                Some(namespace) => end(&client, &namespace, &ask).await,
                None => Ok(Plan::nothing()),
            }
        }
    })
    .watches(&caches.namespaces)
    .maps(&caches.pods, move |changed| last_pods(&from_pods, changed))
}

fn is_leaving(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

/// The end of a pod may be what its namespace waits for.
fn last_pods(caches: &Caches, changed: &Changed<Pod>) -> Vec<ObjectKey> {
    let key = ObjectKey::cluster(changed.key.namespace.as_str());
    let is_awaited = changed.new.is_none() && caches.namespaces.get(&key).is_some_and(|namespace| is_leaving(&namespace));
    if is_awaited { vec![key] } else { Vec::new() }
}

/// Caches may not show the last object that was created, so the server is asked what is there.
async fn end(client: &Client, namespace: &Namespace, ask: &Ask) -> Result<Plan, Error> {
    let served = discovery::served(client).await?;
    let is_deletable = |s: &&Served| s.is_namespaced && s.can("list") && s.can("delete");
    let lists = join_all(served.resources.iter().filter(is_deletable).map(|s| content(client, s, &ask.key.name))).await;
    let mut discovery_failures = served.failures.clone();
    let mut contents = Vec::new();
    for listed in lists {
        match listed {
            Ok(content) if content.n_objects > 0 => contents.push(content),
            Ok(_) => {}
            Err(e) => discovery_failures.push(e.to_string()),
        }
    }
    let view = namespace::View {
        namespace,
        contents: &contents,
        discovery_failures: &discovery_failures,
        deletion_failure: ask.failure.as_ref().map(|failure| failure.message.as_str()),
    };
    Ok(namespace::plan(&view, ask.now))
}

async fn content(client: &Client, served: &Served, namespace: &str) -> Result<Content, Error> {
    let list = client::api::list::<Reduced>(client, &served.resource, &Selection::namespace(namespace)).await;
    let items = match list {
        Ok(list) => list.items.unwrap_or_default(),
        // Served no more, or not as a list.
        Err(e) if e.is_not_found() || e.status().is_some_and(|s| s.code == 405) => Vec::new(),
        Err(e) => return Err(e),
    };
    let mut finalizers = BTreeMap::new();
    for finalizer in items.iter().flat_map(|item| item.metadata.finalizers.iter().flatten()) {
        *finalizers.entry(finalizer.clone()).or_insert(0) += 1;
    }
    let n_living = items.iter().filter(|item| item.metadata.deletion_timestamp.is_none()).count();
    Ok(Content { resource: served.resource.clone(), n_objects: items.len(), n_living, finalizers })
}
