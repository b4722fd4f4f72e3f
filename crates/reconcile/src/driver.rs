//! The one driver: runs every controller's queue, plans keys, carries plans out, remembers failures, tells notes.
//!
//! ```text
//!   change, timer --> queued --> planned --> carried out --> caches show it --> at rest (timer at `wake_at`)
//!                       ^           | panic, refusal, stale view                    |
//!                       +-----------+ backoff 5 ms x 2^n, 1000 s at most <----------+ changed meanwhile
//! ```

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Client;
use futures_util::FutureExt;
use object::key::ObjectKey;
use object::plan::{Failure, Note, Plan};
use object::time::{Clock, stopwatch};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::act::{Outcome, carry_out, caught_up};
use crate::controller::{Ask, Controller, PlanFn};
use crate::events::{Origin, Recorder};
use crate::informers::Informers;
use crate::lock::locked;
use crate::metrics::Counters;
use crate::queue::Queue;

/// Upstream: `DefaultTypedControllerRateLimiter`.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1000);
/// A timer never sleeps longer: the machine may have been suspended, or its clock set.
const SLEEP_MAX: Duration = Duration::from_secs(900);
/// On stop, what is being carried out may end within this time.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// What all controllers share.
#[derive(Clone)]
pub struct Driver {
    pub client: Client,
    pub informers: Informers,
    pub clock: Clock,
    pub recorder: Recorder,
}

/// The running controllers.
pub struct Running {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    controllers: Vec<Arc<Active>>,
}

struct Active {
    name: &'static str,
    component: &'static str,
    n_workers: usize,
    plan: PlanFn,
    queue: Arc<Queue>,
    memories: Mutex<BTreeMap<ObjectKey, Memory>>,
    counters: Counters,
    driver: Driver,
}

/// What is remembered of a key between two plans; most keys need none.
#[derive(Clone, Default, PartialEq)]
struct Memory {
    n_failures: u32,
    failure: Option<Failure>,
    /// What the last plan's notes said, so that standing conditions are told once.
    said: Vec<u64>,
}

impl Driver {
    pub fn start(&self, controllers: Vec<Controller>) -> Running {
        let (stop, stopping) = watch::channel(false);
        let mut running = Running { stop, tasks: JoinSet::new(), controllers: Vec::new() };
        for Controller { name, component, n_workers, sources, plan } in controllers {
            let queue = Arc::<Queue>::default();
            let mut synced = Vec::new();
            for source in sources {
                (source.attach)(Arc::clone(&queue));
                synced.push(source.synced);
            }
            let active = Active {
                name,
                component,
                n_workers,
                plan,
                queue,
                memories: Mutex::default(),
                counters: Counters::default(),
                driver: self.clone(),
            };
            let active = Arc::new(active);
            running.controllers.push(Arc::clone(&active));
            let stopping = stopping.clone();
            running.tasks.spawn(async move {
                let mut stopped = stopping.clone();
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    _ = futures_util::future::join_all(synced) => {}
                }
                run(active, stopping).await;
            });
        }
        running
    }
}

impl Running {
    /// Finishes what is being carried out, then ends.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }

    /// Nothing is queued or being worked on: what a test of a settled cluster waits for.
    pub fn is_idle(&self) -> bool {
        self.controllers.iter().all(|active| active.queue.is_idle())
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.controllers.iter().map(|active| active.name).collect()
    }

    /// Upstream's `workqueue_*` names, in Prometheus' text form.
    pub fn metrics(&self) -> String {
        let rows: Vec<_> = self.controllers.iter().map(|a| (a.name, &a.counters, &*a.queue)).collect();
        crate::metrics::render(&rows)
    }
}

async fn run(active: Arc<Active>, mut stopping: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(active.n_workers));
    let mut workers = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
        let key = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            key = active.queue.next() => key,
        };
        while workers.try_join_next().is_some() {}
        let active = Arc::clone(&active);
        workers.spawn(async move {
            let (wake_at, written) = work(&active, &key).await;
            // Others may plan while this key waits for the caches.
            drop(permit);
            caught_up(&active.driver.informers, &written).await;
            active.queue.done(key, wake_at);
        });
    }
    let finished = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIME_MAX, finished).await.is_err() {
        tracing::warn!(controller = active.name, "work was cut off by the stop");
    }
}

/// Plans one key and carries the plan out. Answers when to look again, and the writes to wait for.
async fn work(active: &Active, key: &ObjectKey) -> (Option<Instant>, Vec<crate::act::Written>) {
    let driver = &active.driver;
    let began = stopwatch();
    let memory = locked(&active.memories).get(key).cloned().unwrap_or_default();
    let now = driver.clock.now();
    let ask = Ask { key: key.clone(), now, failure: memory.failure.clone() };
    let planned = AssertUnwindSafe(async { (active.plan)(ask).await }).catch_unwind().await;
    active.counters.n_plans.fetch_add(1, Ordering::Relaxed);
    let Plan { changes, wake_at, notes } = match planned {
        Ok(Ok(plan)) => plan,
        Ok(Err(e)) => {
            tracing::debug!(controller = active.name, key = %key, error = %e, "cannot observe");
            return (Some(retry(active, key, memory, None)), Vec::new());
        }
        Err(panic) => {
            active.counters.n_panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(controller = active.name, key = %key, panic = panic_text(&*panic), "planning panicked");
            return (Some(retry(active, key, memory, None)), Vec::new());
        }
    };
    let said = tell_new(active, &notes, &memory.said);
    active.counters.n_changes.fetch_add(changes.len() as u64, Ordering::Relaxed);
    let outcomes = carry_out(&driver.client, changes, memory.n_failures > 0).await;
    let (written, trouble) = tell_outcomes(active, key, outcomes);
    active.counters.busy_micros.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
    let memory = Memory { said, ..memory };
    let next = match trouble {
        Some(failure) => Some(retry(active, key, memory, failure)),
        None => {
            let memory = Memory { n_failures: 0, failure: None, ..memory };
            remember(active, key, memory);
            wake_at.map(|at| Instant::now() + Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO).min(SLEEP_MAX))
        }
    };
    (next, written)
}

/// Tells what the plan before did not say; answers what is said now.
fn tell_new(active: &Active, notes: &[Note], said_before: &[u64]) -> Vec<u64> {
    let mut said = Vec::with_capacity(notes.len());
    for note in notes {
        let hash = hash_of(&(&note.about.uid, note.reason, &note.message));
        tracing::debug!(controller = active.name, name = note.about.name, reason = note.reason, note = note.message, "noted");
        if !said_before.contains(&hash) {
            active.driver.recorder.record(Origin::component(active.component), note.clone());
        }
        said.push(hash);
    }
    said
}

/// Tells how the writes went. `Some(None)`: the view was old; `Some(Some(_))`: a write was refused.
fn tell_outcomes(
    active: &Active,
    key: &ObjectKey,
    outcomes: Vec<(object::plan::Change, Outcome)>,
) -> (Vec<crate::act::Written>, Option<Option<Failure>>) {
    let mut written = Vec::with_capacity(outcomes.len());
    let mut trouble = None;
    let origin = Origin::component(active.component);
    for (change, outcome) in outcomes {
        match outcome {
            Outcome::Done(write) => {
                written.push(write);
                if let Some(note) = change.done {
                    active.driver.recorder.record(origin.clone(), note);
                }
            }
            Outcome::Stale(e) => {
                tracing::debug!(controller = active.name, key = %key, error = %e, "planned on an old view");
                trouble = trouble.or(Some(None));
            }
            Outcome::Refused(e) => {
                tracing::warn!(controller = active.name, key = %key, error = %e, "a write was refused");
                let reason = change.failed.as_ref().map_or("", |note| note.reason);
                if let Some(mut note) = change.failed {
                    note.message = format!("{}{e}", note.message);
                    active.driver.recorder.record(origin.clone(), note);
                }
                trouble = Some(Some(Failure { reason, message: e.to_string() }));
            }
        }
    }
    (written, trouble)
}

/// Remembers one more failure; answers when to try again.
fn retry(active: &Active, key: &ObjectKey, memory: Memory, failure: Option<Failure>) -> Instant {
    active.counters.n_retries.fetch_add(1, Ordering::Relaxed);
    let n_failures = memory.n_failures + 1;
    let failure = failure.or(memory.failure);
    let wait = backoff(n_failures, hash_of(&(key, n_failures)));
    remember(active, key, Memory { n_failures, failure, said: memory.said });
    Instant::now() + wait
}

fn remember(active: &Active, key: &ObjectKey, memory: Memory) {
    let mut memories = locked(&active.memories);
    if memory == Memory::default() {
        memories.remove(key);
    } else {
        memories.insert(key.clone(), memory);
    }
}

/// Doubles with each failure; `spread` moves it by up to a tenth, so that keys that failed together do not return together.
fn backoff(n_failures: u32, spread: u64) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << (n_failures - 1).min(20)).min(BACKOFF_MAX);
    full.mul_f64(0.9 + 0.1 * (spread % 1000) as f64 / 1000.0)
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        for (n_failures, spread, millis) in [(1, 999, 4), (2, 999, 9), (10, 999, 2559), (40, 0, 900_000)] {
            assert_eq!(backoff(n_failures, spread).as_millis(), millis, "{n_failures}");
        }
    }
}
