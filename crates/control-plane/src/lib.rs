//! The rows that make a cluster heal itself, wired to the one driver.
//!
//! A row says which caches a controller reads, which keys a change concerns, and how its view is put together; the decisions are in
//! `control-workloads`, `control-cluster` and `scheduling`. To add a controller: write its plan there, its row here, and list it below.

mod account_tokens;
mod autoscaling;
mod budgets;
mod caches;
mod discovery;
mod expiry;
mod following;
mod garbage;
mod jobs;
mod namespaces;
mod nodes;
mod quotas;
mod roles;
mod scheduler;
mod selection;
mod services;
mod signing;
mod storage;
mod workloads;

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod workload_tests;

use std::sync::Arc;
use std::time::Duration;

use client::Client;
/// A pod network that nodes get shares of.
pub use control_cluster::node_cidr::Pool;
use object::time::Clock;
use reconcile::driver::Running;
use reconcile::{Controller, Driver, Informers, Recorder};
use tokio::task::JoinHandle;

pub use crate::selection::Selection;

use crate::caches::Caches;

/// The server may come up after us.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// Events still on their way at the end.
const LAST_EVENTS_TIME_MAX: Duration = Duration::from_secs(1);

pub struct Options {
    /// The certificates that pods trust the API server by, PEM.
    pub root_ca: String,
    /// Signs the tokens that people keep in Secrets; without one these stay empty.
    pub token_key: Option<Arc<pki::token::TokenKey>>,
    /// Signs certificates for kubelets and users; without one nobody's requests are decided here.
    pub signer: Option<pki::Authority>,
    /// Networks that nodes get their shares of; none leaves that to others.
    pub pod_networks: Vec<Pool>,
    pub scheduler: scheduling::Options,
    /// The names are those in the metrics (`deployment`, `scheduler`).
    pub controllers: Selection,
}

/// All controllers at work.
pub struct ControlPlane {
    running: Running,
    informers: Informers,
    recorder_task: JoinHandle<()>,
}

impl ControlPlane {
    /// Waits until the server answers, then starts the controllers; an error names one that is asked for and is none.
    pub async fn start(client: Client, clock: Clock, options: Options) -> Result<Self, String> {
        let informers = Informers::new(client.clone());
        informers.keep_packed(control_workloads::pods::trim);
        let (recorder, recorder_task) = Recorder::start(client.clone(), clock.clone());
        let selection = options.controllers.clone();
        let mut controllers = controllers(&informers, &client, &clock, options).await;
        let names: Vec<&str> = controllers.iter().map(|controller| controller.name).collect();
        if let Some(unknown) = selection.unknown(&names) {
            return Err(format!("no controller is called `{unknown}`; there are {}", names.join(", ")));
        }
        controllers.retain(|controller| selection.takes(controller.name));
        let driver = Driver { client, informers: informers.clone(), clock, recorder };
        Ok(ControlPlane { running: driver.start(controllers), informers, recorder_task })
    }

    /// Finishes what is under way, then ends.
    pub async fn stop(self) {
        self.running.stop().await;
        self.informers.stop().await;
        if tokio::time::timeout(LAST_EVENTS_TIME_MAX, self.recorder_task).await.is_err() {
            tracing::debug!("the last events were not written");
        }
    }

    /// Whether no controller has anything to do right now.
    pub fn is_idle(&self) -> bool {
        self.running.is_idle()
    }

    /// Of the controllers that run.
    pub fn names(&self) -> Vec<&'static str> {
        self.running.names()
    }

    /// Prometheus text.
    pub fn metrics(&self) -> String {
        self.running.metrics()
    }
}

async fn controllers(informers: &Informers, client: &Client, clock: &Clock, options: Options) -> Vec<Controller> {
    let served = loop {
        match discovery::served(client).await {
            Ok(served) => break served,
            Err(e) => tracing::debug!(error = %e, "the server does not answer yet"),
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    };
    let caches = Caches::new(informers);
    let (quotas, quotas_follow) = quotas::quotas(&caches, informers, client, &served);
    let mut rows = vec![
        scheduler::controller(&caches, options.scheduler),
        workloads::deployment(&caches),
        workloads::replica_set(&caches),
        workloads::replication_controller(&caches),
        workloads::daemon_set(&caches),
        workloads::stateful_set(&caches),
        jobs::jobs(&caches),
        jobs::orphans(&caches),
        jobs::cron_jobs(&caches, clock),
        services::endpoint_slices(&caches),
        services::endpoints(&caches),
        services::mirrors(&caches),
        services::addresses(&caches),
        namespaces::accounts(&caches),
        namespaces::root_cas(&caches, options.root_ca.clone()),
        namespaces::namespaces(&caches, client),
        roles::cluster_roles(&caches),
        budgets::budgets(&caches),
        nodes::lifecycle(&caches, clock),
        nodes::eviction(&caches),
        nodes::pod_garbage(&caches),
        nodes::ttl(&caches),
        expiry::bootstrap_tokens(informers),
        expiry::pod_certificate_requests(informers),
        storage::claims(&caches, client),
        storage::volumes(&caches),
        storage::classes(&caches),
        autoscaling::autoscalers(&caches, informers, client, &served),
        quotas,
    ];
    if let Some(key) = options.token_key {
        rows.push(account_tokens::tokens(&caches, informers, client, &options.root_ca, key));
    }
    if let Some(authority) = options.signer {
        rows.extend(signing::controllers(informers, client, authority));
    }
    if !options.pod_networks.is_empty() {
        rows.push(nodes::cidrs(&caches, options.pod_networks));
    }
    // Last, for they share the caches that the others have made.
    let (collector, collector_follows) = garbage::controller(informers, client, &served);
    rows.push(collector);
    rows.push(following::follow(informers, client, &served, vec![quotas_follow, collector_follows]));
    rows
}
