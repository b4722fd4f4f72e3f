//! Carrying out the changes of one plan: all at once within a limit, or carefully after a failure.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Error};
use object::key::{GroupResource, ObjectKey};
use object::meta;
use object::plan::{Change, Verb, Write};
use object::status::Status;
use tokio::task::JoinSet;

use crate::cache::{AnyCache, Presence};
use crate::informers::Informers;
use crate::reduced::Reduced;

/// Enough to fill the store's group commit; more only queue up in the server.
const WRITES_AT_ONCE_MAX: usize = 64;
/// A watch is normally milliseconds behind. After so long the key is planned anyway: plans survive an old view.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(5);

/// How one write went.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Written),
    /// The view was old, or the name is taken: plan again on a newer view.
    Stale(Error),
    Refused(Error),
}

/// What the caches must show before the key is planned again.
#[derive(Debug)]
pub(crate) struct Written {
    resource: GroupResource,
    key: ObjectKey,
    uid: String,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    Created(u64),
    Changed(u64),
    Left,
    /// Nothing that a cache would show.
    Anyway,
}

/// Carries out changes in their order, up to `WRITES_AT_ONCE_MAX` at a time. After a batch with a refusal only statuses are still
/// written: they tell how things stand, and what stands still is to be told most of all. With `is_careful` the batches begin at one
/// and double (upstream: slow start), so that a full quota costs few requests.
pub(crate) async fn carry_out(client: &Client, changes: Vec<Change>, is_careful: bool) -> Vec<(Change, Outcome)> {
    let mut outcomes = Vec::with_capacity(changes.len());
    let mut batch_size = if is_careful { 1 } else { WRITES_AT_ONCE_MAX };
    let mut rest = changes.into_iter();
    loop {
        let batch: Vec<Change> = rest.by_ref().take(batch_size).collect();
        if batch.is_empty() {
            return outcomes;
        }
        let first_of_batch = outcomes.len();
        outcomes.extend(carry_out_batch(client, batch).await);
        if outcomes[first_of_batch..].iter().any(|(_, outcome)| matches!(outcome, Outcome::Refused(_))) {
            let told = rest.filter(|change| matches!(change.write, Write::UpdateStatus { .. })).collect();
            outcomes.extend(carry_out_batch(client, told).await);
            return outcomes;
        }
        batch_size = (batch_size * 2).min(WRITES_AT_ONCE_MAX);
    }
}

async fn carry_out_batch(client: &Client, mut batch: Vec<Change>) -> Vec<(Change, Outcome)> {
    if let Some(only) = if batch.len() == 1 { batch.pop() } else { None } {
        let outcome = outcome(&only.write, send(client, &only.write).await);
        return vec![(only, outcome)];
    }
    let mut tasks = JoinSet::new();
    for (i, change) in batch.into_iter().enumerate() {
        let client = client.clone();
        tasks.spawn(async move {
            let outcome = outcome(&change.write, send(&client, &change.write).await);
            (i, change, outcome)
        });
    }
    let mut outcomes = tasks.join_all().await;
    outcomes.sort_by_key(|(i, ..)| *i);
    outcomes.into_iter().map(|(_, change, outcome)| (change, outcome)).collect()
}

/// What an answer says about the object: its metadata, or none when it is a `Status`.
type Answer = Reduced;

async fn send(client: &Client, write: &Write) -> Result<Answer, Error> {
    match write {
        Write::Create { resource, object } => client.create(&resource.collection_path(meta::namespace(object)), object).await,
        Write::Update { resource, object } => client.update(&resource.path(&meta::key(object)), object).await,
        Write::UpdateStatus { resource, object } => client.update(&format!("{}/status", resource.path(&meta::key(object))), object).await,
        Write::Patch { resource, key, subresource, kind, patch } => {
            let slash = if subresource.is_empty() { "" } else { "/" };
            client.patch(&format!("{}{slash}{subresource}", resource.path(key)), *kind, patch).await
        }
        Write::Delete { resource, key, options } => client.delete(&resource.path(key), options).await.map(|_| Answer::default()),
        Write::DeleteCollection { resource, namespace } => {
            let path = resource.collection_path(namespace);
            client.delete(&path, &object::plan::DeleteOptions::default()).await.map(|_| Answer::default())
        }
        Write::Subresource { resource, key, subresource, verb, object } => {
            let path = format!("{}/{subresource}", resource.path(key));
            match verb {
                Verb::Create => client.create(&path, object).await,
                Verb::Update => client.update(&path, object).await,
            }
        }
    }
}

fn outcome(write: &Write, answer: Result<Answer, Error>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer.metadata,
        Err(e) => return failed(write, e),
    };
    let uid = answer.uid.clone().unwrap_or_default();
    let revision = answer.resource_version.as_deref().and_then(|r| r.parse().ok());
    let (resource, key, seen) = match (write, revision) {
        (Write::Create { resource, object }, Some(revision)) => (resource, meta::key(object), Seen::Created(revision)),
        (Write::Update { resource, object } | Write::UpdateStatus { resource, object }, Some(revision)) => {
            (resource, meta::key(object), Seen::Changed(revision))
        }
        (Write::Patch { resource, key, .. } | Write::Subresource { resource, key, .. }, Some(revision)) => {
            (resource, key.clone(), Seen::Changed(revision))
        }
        (Write::Delete { resource, key, options }, _) => {
            let uid = options.uid.clone().unwrap_or_default();
            return Outcome::Done(Written { resource: resource.group_resource(), key: key.clone(), uid, seen: Seen::Left });
        }
        _ => return Outcome::Done(nothing_to_see()),
    };
    Outcome::Done(Written { resource: resource.group_resource(), key, uid, seen })
}

fn failed(write: &Write, error: Error) -> Outcome {
    let Some(status) = error.status() else { return Outcome::Refused(error) };
    match write {
        Write::Delete { .. } | Write::DeleteCollection { .. } if status.is_not_found() => Outcome::Done(nothing_to_see()),
        // Whatever was to be created would be deleted at once.
        Write::Create { .. } if has_cause(status, "NamespaceTerminating") => Outcome::Done(nothing_to_see()),
        Write::Create { .. } if status.is_already_exists() => Outcome::Stale(error),
        Write::Create { .. } => Outcome::Refused(error),
        _ if status.is_conflict() || status.is_not_found() => Outcome::Stale(error),
        _ => Outcome::Refused(error),
    }
}

fn has_cause(status: &Status, reason: &str) -> bool {
    status.details["causes"].as_array().is_some_and(|causes| causes.iter().any(|cause| cause["reason"] == reason))
}

fn nothing_to_see() -> Written {
    Written { resource: GroupResource::default(), key: ObjectKey::default(), uid: String::new(), seen: Seen::Anyway }
}

/// Waits until the caches show these writes.
pub(crate) async fn caught_up(informers: &Informers, written: &[Written]) {
    let wait = async {
        for write in written {
            if let Some(cache) = informers.whole(&write.resource) {
                shown(&cache, write).await;
            }
        }
    };
    if tokio::time::timeout(CATCH_UP_TIME_MAX, wait).await.is_err() {
        tracing::warn!(seconds = CATCH_UP_TIME_MAX.as_secs(), "a cache is behind; planning on an old view");
    }
}

async fn shown(cache: &Arc<dyn AnyCache>, write: &Written) {
    let mut progress = cache.progress();
    let is_shown = |revision: u64| match write.seen {
        Seen::Anyway => true,
        Seen::Created(at) => revision >= at,
        // An update that took the last finalizer away has ended the object, and no later revision of it comes.
        Seen::Changed(at) => revision >= at || cache.presence(&write.key, &write.uid) == Presence::Gone,
        Seen::Left => cache.presence(&write.key, &write.uid) != Presence::Living,
    };
    let _ = progress.wait_for(|progress| is_shown(progress.revision)).await;
}
