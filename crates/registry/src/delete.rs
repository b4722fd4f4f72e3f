//! Delete and deletecollection: preconditions, grace, finalizers, propagation.

use std::sync::Arc;

use admission::Operation;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use object::key::GroupResource;
use object::status::Status;
use object::{Value, meta, time};
use store::Expect;

use crate::options::{DeleteOptions, ListOptions, Propagation};
use crate::read::List;
use crate::request::{Answer, Request, Written, success};
use crate::services::Holdings;
use crate::write::{Current, Put};
use crate::{Registry, address, form, metadata, rows};

/// Each lost turn means that somebody else's write went through.
const TRIES_MAX: usize = 1_000;
/// Deletions of one collection that are under way at once: enough to fill the store's group commits.
const COLLECTION_CONCURRENCY: usize = 128;
/// Upstream: pods that do not say otherwise.
const POD_GRACE_SECONDS: i64 = 30;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

pub struct Deleted {
    pub written: Written,
    /// The object is gone, not merely marked.
    pub is_gone: bool,
}

impl Registry {
    pub async fn delete(&self, request: &Request, options: &DeleteOptions) -> Result<Deleted, Status> {
        options.check()?;
        for _ in 0..TRIES_MAX {
            let current = self.current(request)?;
            check_preconditions(request, &current.tree, options)?;
            self.admit(request, Operation::Delete, Some(&current.tree), None)?;
            if let Some(deleted) = self.try_delete(request, options, &current).await? {
                return Ok(deleted);
            }
        }
        Err(Status::conflict_modified(&request.group_resource(), &request.name))
    }

    /// One turn; `None` when the object moved meanwhile.
    async fn try_delete(&self, request: &Request, options: &DeleteOptions, current: &Current) -> Result<Option<Deleted>, Status> {
        let mut marked = current.tree.clone();
        let changed = mark(request, options, &mut marked, self.clock.now());
        let is_gone = metadata::is_finalized(request, &marked) && grace_seconds(&marked) == 0;
        if is_gone {
            if options.is_dry_run() {
                let object = if rows::is_pod(&request.resource) { marked } else { current.tree.clone() };
                return Ok(Some(Deleted { written: gone(request, current, object), is_gone }));
            }
            let Some(revision) = self.remove(request, current).await? else {
                return Ok(None);
            };
            // A pod goes marked, the others as they stood.
            let mut object = if rows::is_pod(&request.resource) { marked } else { current.tree.clone() };
            meta::set(&mut object, "resourceVersion", revision.0.to_string());
            return Ok(Some(Deleted { written: gone(request, current, object), is_gone }));
        }
        let answer = if !changed {
            Answer::Stored(form::Stored::from(&*current.record))
        } else if options.is_dry_run() {
            Answer::Tree(marked)
        } else {
            let key = Arc::clone(&current.record.key);
            let (expect, mut nothing) = (Expect::At(current.record.modified), Holdings::default());
            match self.put(request, key, expect, Some(&current.tree), &mut marked, &mut nothing).await? {
                Put::Done(stored) => Answer::Stored(stored),
                Put::Conflict => return Ok(None),
            }
        };
        Ok(Some(Deleted { written: Written { answer, is_new: false, warnings: Vec::new() }, is_gone }))
    }

    /// Deletes what the options select, as it stood when the call began; answers the list of it.
    pub async fn delete_collection(&self, request: &Request, options: &DeleteOptions, selection: &ListOptions) -> Result<List, Status> {
        options.check()?;
        let list = self.list(&request.resource, &request.namespace, selection)?;
        let deletions: Vec<BoxFuture<'_, Result<Deleted, Status>>> = list
            .records
            .iter()
            .map(|record| {
                let (namespace, name) = address::parts(&request.resource, &record.key);
                let one = Request { namespace: namespace.to_owned(), name: name.to_owned(), ..request.clone() };
                async move { self.delete(&one, options).await }.boxed()
            })
            .collect();
        let mut running = futures_util::stream::iter(deletions).buffer_unordered(COLLECTION_CONCURRENCY);
        let mut failed = None;
        while let Some(result) = running.next().await {
            failed = failed.or(result.err().filter(|e| !e.is_not_found()));
        }
        drop(running);
        match failed {
            Some(e) => Err(e),
            None => Ok(list),
        }
    }
}

pub(crate) fn check_preconditions(request: &Request, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    if rows::is_namespace(&request.resource) {
        return check_namespace_preconditions(request, object, options);
    }
    // Upstream names the kind here and not the resource.
    let named = GroupResource::new(&request.resource.storage_group, &request.resource.kind);
    let differs = |what: &str, wanted: &str, found: &str| {
        let happened = if what == "UID" { "deleted and then recreated" } else { "modified" };
        let cause = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been {happened}"
        );
        Err(Status::conflict(&named, &request.name, &cause))
    };
    match &options.uid {
        Some(uid) if uid != meta::uid(object) => return differs("UID", uid, meta::uid(object)),
        _ => {}
    }
    match &options.resource_version {
        Some(version) if version != meta::resource_version(object) => differs("ResourceVersion", version, meta::resource_version(object)),
        _ => Ok(()),
    }
}

/// Upstream: a namespace's deletion begins with a write of it, whose storage finds the difference.
fn check_namespace_preconditions(request: &Request, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    for (what, wanted, found) in
        [("UID", &options.uid, meta::uid(object)), ("ResourceVersion", &options.resource_version, meta::resource_version(object))]
    {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            let cause = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
            return Err(Status::conflict(&request.group_resource(), &request.name, &cause));
        }
    }
    Ok(())
}

fn gone(request: &Request, current: &Current, object: Value) -> Written {
    let answer = if request.resource.returns_deleted {
        object
    } else {
        success(&request.group_resource(), meta::name(&current.tree), meta::uid(&current.tree))
    };
    Written { answer: Answer::Tree(answer), is_new: false, warnings: Vec::new() }
}

fn grace_seconds(object: &Value) -> i64 {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0)
}

/// Puts deletion time, grace and finalizers of propagation; true when that changed anything.
fn mark(request: &Request, options: &DeleteOptions, object: &mut Value, now: Timestamp) -> bool {
    let before = object.clone();
    // Upstream: a namespace goes its own way, whatever is asked of its dependents.
    if !rows::is_namespace(&request.resource) {
        mark_propagation(request, options, object);
    }
    let grace = wanted_grace(request, options, object);
    let is_new = meta::deletion_timestamp(object).is_none();
    // Upstream: grace can only be shortened once a deletion has begun.
    if is_new || grace < grace_seconds(object) {
        let begun = if is_new { now } else { began(object).unwrap_or(now) };
        let ends = begun.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
        // Upstream: a grace cut to zero ends now, never in the past.
        let ends = if is_new { ends } else { ends.max(now) };
        meta::set(object, "deletionTimestamp", time::seconds(ends));
        if !rows::is_namespace(&request.resource) {
            meta::set(object, "deletionGracePeriodSeconds", grace);
        }
        if is_new && meta::generation(object) > 0 {
            let generation = meta::generation(object) + 1;
            meta::set(object, "generation", generation);
        }
    }
    if rows::is_namespace(&request.resource) {
        object["status"]["phase"] = Value::from("Terminating");
    }
    *object != before
}

/// `deletionTimestamp` says when the grace ends; it began that many seconds before.
fn began(object: &Value) -> Option<Timestamp> {
    let ends = time::parse(meta::deletion_timestamp(object)?)?;
    ends.checked_sub(SignedDuration::from_secs(grace_seconds(object))).ok()
}

fn wanted_grace(request: &Request, options: &DeleteOptions, object: &Value) -> i64 {
    if !rows::is_pod(&request.resource) {
        return 0;
    }
    let asked =
        options.grace_period_seconds.or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(POD_GRACE_SECONDS);
    let is_nowhere = object["spec"]["nodeName"].as_str().unwrap_or("").is_empty();
    let is_over = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if is_nowhere || is_over {
        0
    } else if asked < 0 {
        1
    } else {
        asked
    }
}

fn mark_propagation(request: &Request, options: &DeleteOptions, object: &mut Value) {
    let has = |object: &Value, finalizer: &str| meta::finalizers(object).any(|f| f == finalizer);
    let (orphan, foreground) = match (&options.propagation, options.orphan_dependents) {
        (Some(Propagation::Orphan), _) | (None, Some(true)) => (true, false),
        (Some(Propagation::Foreground), _) => (false, true),
        (Some(_), _) | (None, Some(false)) => (false, false),
        (None, None) => {
            let orphan = has(object, ORPHAN) || rows::orphans_by_default(&request.resource) && !has(object, FOREGROUND);
            (orphan, has(object, FOREGROUND) && !has(object, ORPHAN))
        }
    };
    let mut finalizers: Vec<String> = meta::finalizers(object).filter(|f| *f != ORPHAN && *f != FOREGROUND).map(str::to_owned).collect();
    if orphan {
        finalizers.push(ORPHAN.to_owned());
    }
    if foreground {
        finalizers.push(FOREGROUND.to_owned());
    }
    if meta::finalizers(object).eq(finalizers.iter().map(String::as_str)) {
        return;
    }
    if finalizers.is_empty() { meta::unset(object, "finalizers") } else { meta::set(object, "finalizers", finalizers) }
}

/// What should be known of a deletion, also of one that fails.
pub fn deletion_warnings(request: &Request, options: &DeleteOptions) -> Vec<String> {
    let is_silent = options.propagation.is_none() && options.orphan_dependents.is_none();
    if is_silent && request.resource.group == "batch" && request.resource.plural == "jobs" {
        return vec![
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
                .to_owned(),
        ];
    }
    Vec::new()
}
