//! How many pods a job should have, and the pods that come or go for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use object::fresh::{Seed, fresh};
use object::plan::{Change, Note, Plan, Reference};

use super::{FINALIZER, INDEX, Work, backoff, indexes, is_suspended, is_tracked, let_go, policy, replaces_only_failed, valid_index};
use crate::{ranking, template};

/// Upstream: `MaxPodCreateDeletePerSync`. The next plan follows at once.
const CHANGES_MAX: usize = 500;
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// So that the random end of a name still fits a label.
const GENERATED_BASE_LEN_MAX: usize = 58;

/// Creates what is missing or removes what is too much, never both.
pub(super) fn resize(work: &Work<'_>, plan: &mut Plan) {
    let wanted = wanted(work);
    let surplus = surplus(work, work.active.len().saturating_sub(wanted));
    if !surplus.is_empty() {
        // A pod that is not wanted must not count as failed: it is let go first and deleted by the next plan.
        let removal = |pod: &Arc<Pod>| if is_tracked(pod) { let_go(pod) } else { delete(work.job, pod) };
        plan.changes.extend(surplus.iter().take(CHANGES_MAX).map(removal));
        return;
    }
    let n_awaited = if replaces_only_failed(work.job) { work.leaving().count() } else { 0 };
    let missing = wanted.saturating_sub(n_awaited + work.active.len());
    if missing > 0 {
        create(work, missing.min(CHANGES_MAX), plan);
    }
}

fn wanted(work: &Work<'_>) -> usize {
    if is_suspended(work.job) {
        return 0;
    }
    let spec = work.spec();
    let parallelism = spec.parallelism.unwrap_or(1).max(0) as usize;
    match spec.completions {
        // Once one has succeeded, the others may finish and none is added.
        None if work.n_succeeded() > 0 => work.active.len(),
        None => parallelism,
        Some(completions) => parallelism.min((completions - work.n_succeeded()).max(0) as usize),
    }
}

/// The pods to remove: of an indexed job all that have no index of their own, then the least wanted.
fn surplus(work: &Work<'_>, at_least: usize) -> Vec<Arc<Pod>> {
    let mut ranked = ranking::in_order_of_deletion(&work.active, &[], work.now);
    // Those that were let go have been on their way out.
    ranked.sort_by_key(|pod| is_tracked(pod));
    let mut going = Vec::new();
    if work.indexes.is_some() {
        let mut n_left = BTreeMap::new();
        for pod in &ranked {
            *n_left.entry(valid_index(work.job, pod)).or_insert(0_usize) += 1;
        }
        let (doubles, single): (Vec<_>, Vec<_>) = ranked.into_iter().partition(|pod| {
            let index = valid_index(work.job, pod);
            let n = n_left.get_mut(&index).expect("every pod was counted");
            *n -= 1;
            index.is_none() || *n > 0
        });
        (going, ranked) = (doubles, single);
    }
    let more = at_least.saturating_sub(going.len());
    going.extend(ranked.into_iter().take(more));
    going
}

fn create(work: &Work<'_>, n: usize, plan: &mut Plan) {
    let indexes = match &work.indexes {
        None => vec![None; n],
        Some(_) => pending_indexes(work, n, plan).into_iter().map(Some).collect(),
    };
    if indexes::backoff_limit(work.job).is_none()
        && let Some(over) = backoff::over_at(work).filter(|over| *over > work.now)
    {
        plan.wake_by(over);
        return;
    }
    let seed = seed(work);
    let name = work.job.metadata.name.as_deref().unwrap_or("");
    let base = template::generate_name(name);
    let mut names = fresh(&base, seed, work.view.is_name_taken);
    let changes = indexes.into_iter().filter_map(|index| {
        let pod = match index {
            None => named(pod(work), names.next()?),
            Some(index) => {
                let base = index_base(name, index);
                named(indexed_pod(work, index, &base), fresh(&base, seed, work.view.is_name_taken).next()?)
            }
        };
        Some(creation(work, &pod))
    });
    plan.changes.extend(changes);
}

/// The lowest indexes without a pod that may have one now.
fn pending_indexes(work: &Work<'_>, n: usize, plan: &mut Plan) -> Vec<i32> {
    let Some(state) = &work.indexes else { return Vec::new() };
    let mut taken = state.succeeded.with(state.active.iter().copied()).and(&state.failed);
    if replaces_only_failed(work.job) {
        taken = taken.with(work.leaving().filter_map(|pod| valid_index(work.job, pod)));
    }
    let mut pending = taken.missing(n, work.spec().completions.unwrap_or(0));
    let over_at = |index: &i32| state.awaiting.get(index).map(|failed| backoff::index_over_at(failed)).filter(|over| *over > work.now);
    pending.iter().filter_map(over_at).for_each(|over| plan.wake_by(over));
    pending.retain(|index| over_at(index).is_none());
    pending
}

fn seed(work: &Work<'_>) -> Seed {
    let metadata = &work.job.metadata;
    let own = [&metadata.uid, &metadata.resource_version].into_iter().flatten().map(String::as_str);
    let mut uids: Vec<&str> = work.pods.iter().filter_map(|p| p.metadata.uid.as_deref()).collect();
    uids.sort_unstable();
    own.chain(uids).fold(Seed::new(), Seed::with)
}

fn named(mut pod: Pod, name: String) -> Pod {
    pod.metadata.name = Some(name);
    pod
}

fn pod(work: &Work<'_>) -> Pod {
    let mut pod = template::pod(work.job, &work.spec().template);
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|name| name == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    pod
}

fn index_base(job_name: &str, index: i32) -> String {
    let end = format!("-{index}-");
    let room = GENERATED_BASE_LEN_MAX.saturating_sub(end.len());
    format!("{}{end}", &job_name[..job_name.len().min(room)])
}

/// Knows its index by annotation, label, host name and variable.
fn indexed_pod(work: &Work<'_>, index: i32, base: &str) -> Pod {
    let mut pod = pod(work);
    pod.metadata.generate_name = Some(base.to_owned());
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if indexes::backoff_limit(work.job).is_some() {
        let (failures, ignored) = failures_so_far(work, index);
        annotations.insert(indexes::FAILURES.to_owned(), failures.to_string());
        if ignored > 0 {
            annotations.insert(indexes::IGNORED_FAILURES.to_owned(), ignored.to_string());
        }
    }
    if let Some(spec) = &mut pod.spec {
        spec.hostname = Some(format!("{}-{index}", work.job.metadata.name.as_deref().unwrap_or("")));
        spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(add_index_variable);
    }
    pod
}

/// Failures of an index that count, and that do not.
fn failures_so_far(work: &Work<'_>, index: i32) -> (i32, i32) {
    let Some(replaced) = work.indexes.as_ref().and_then(|state| state.awaiting.get(&index)) else { return (0, 0) };
    let is_counted = policy::verdict(work.spec(), replaced).is_counted();
    (indexes::n_failures(replaced) + i32::from(is_counted), indexes::n_ignored_failures(replaced) + i32::from(!is_counted))
}

fn add_index_variable(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|v| v.name == INDEX_VARIABLE) {
        return;
    }
    let field_ref = ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), ..ObjectFieldSelector::default() };
    let source = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
    variables.push(EnvVar { name: INDEX_VARIABLE.to_owned(), value_from: Some(source), ..EnvVar::default() });
}

fn creation(work: &Work<'_>, pod: &Pod) -> Change {
    let name = pod.metadata.name.as_deref().unwrap_or("");
    Change::create(pod)
        .telling(Note::normal(work.about(), "SuccessfulCreate", format!("Created pod: {name}")))
        .telling_failure(Note::warning(work.about(), "FailedCreate", "Error creating: "))
}

pub(super) fn delete(job: &Job, pod: &Pod) -> Change {
    let about = Reference::of(job);
    let name = pod.metadata.name.as_deref().unwrap_or("");
    Change::delete(pod)
        .telling(Note::normal(about.clone(), "SuccessfulDelete", format!("Deleted pod: {name}")))
        .telling_failure(Note::warning(about, "FailedDelete", "Error deleting: "))
}
