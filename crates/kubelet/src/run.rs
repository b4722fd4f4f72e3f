//! The whole node agent: its parts put together and kept running.

use std::sync::Arc;

use client::options::Selection;
use k8s_openapi::api::core::v1::Pod;
use reconcile::{Cache, Informers};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::agent::Agent;
use crate::{pods, registration, server, upkeep};

impl Agent {
    /// Runs until it is dropped. Pods run on then; the next agent over the same runtime adopts them.
    pub async fn run(&self) {
        let informers = Informers::new(self.node.client.clone());
        let pods: Cache<Pod> = informers.select(Selection::fields(format!("spec.nodeName={}", self.node.config.node_name)));
        tokio::join!(
            pods::run(Arc::clone(&self.node), pods, self.pods.clone(), self.health.subscribe()),
            registration::run(Arc::clone(&self.node), self.health.subscribe(), self.images.subscribe()),
        );
    }

    /// As `run`, on a real host: with its server, its upkeep, and a look at `images`, which counts changes of the image store.
    pub async fn run_on_host(&self, listener: TcpListener, tls: Arc<rustls::ServerConfig>, mut images: watch::Receiver<u64>) {
        let images = async {
            while images.changed().await.is_ok() {
                self.images_changed();
            }
        };
        tokio::join!(self.run(), upkeep::run(self), server::serve(self.clone(), listener, tls), images);
    }
}
