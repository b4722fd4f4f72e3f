//! This host's images and pod network behind the node agent's own words.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use net_link::pod::PodNetwork as Links;
use object::time::Clock;
use oci_image::{Credentials, Error, ImageStore, Reference, Registries};
use oci_runtime::runtime::BoxFuture;
use pod_plan::effect::Failure;
use tokio::sync::{Semaphore, watch};

use crate::lock::locked;
use crate::seams::{Image, Images, PodNetwork};

/// Pulls at once; more only share the line and the disk.
const PULLS_MAX: usize = 5;
/// A push sends blobs first and their manifest last: what is younger than this may still be led to.
const BLOB_AGE_MIN: Duration = Duration::from_secs(3600);

/// Images of this host, and the registries it pulls from.
pub struct HostImages {
    store: ImageStore,
    registries: Registries,
    clock: Clock,
    pulls: Semaphore,
    changed: watch::Sender<u64>,
    /// Ids of images pulled since the start. Others were built, pushed or imported here and may exist nowhere else.
    pulled: Mutex<HashSet<String>>,
}

impl HostImages {
    pub fn new(store: ImageStore, registries: Registries, clock: Clock) -> Self {
        HostImages {
            store,
            registries,
            clock,
            pulls: Semaphore::new(PULLS_MAX),
            changed: watch::Sender::default(),
            pulled: Mutex::default(),
        }
    }

    /// Counts pulls and removals made here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn image(found: &oci_image::Image) -> Image {
    let config = &found.config;
    let repository = found.names.first().map(|name| repository(name));
    Image {
        id: found.id.to_string(),
        shown: repository.map_or_else(|| found.id.to_string(), |name| format!("{name}@{}", found.manifest)),
        names: found.names.clone(),
        size: found.size,
        layers: found.layers.clone(),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: config.entrypoint.clone().unwrap_or_default(),
        cmd: config.cmd.clone().unwrap_or_default(),
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        stop_signal: config.stop_signal.clone(),
        was_pulled: false,
    }
}

/// Without tag and digest.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

impl Images for HostImages {
    fn find(&self, reference: &str) -> Option<Arc<Image>> {
        self.store.find(reference).map(|found| Arc::new(image(&found)))
    }

    fn pull<'a>(&'a self, reference: &'a str, credentials: &'a [Credentials]) -> BoxFuture<'a, Result<Arc<Image>, Failure>> {
        Box::pin(async move {
            let _turn = self.pulls.acquire().await;
            match self.store.pull(reference, &self.registries, credentials, &|_, _, _| {}).await {
                Ok(found) => {
                    self.changed.send_modify(|n| *n += 1);
                    locked(&self.pulled).insert(found.id.to_string());
                    Ok(Arc::new(image(&found)))
                }
                Err(e) => Err(failure(reference, &e)),
            }
        })
    }

    fn list(&self) -> Vec<Arc<Image>> {
        let pulled = locked(&self.pulled);
        let one = |found: &Arc<oci_image::Image>| Image { was_pulled: pulled.contains(&found.id.to_string()), ..image(found) };
        self.store.list().iter().map(|found| Arc::new(one(found))).collect()
    }

    fn forget(&self, image: &Image) -> Result<(), String> {
        for name in &image.names {
            let reference = Reference::parse(name).map_err(|e| e.to_string())?;
            self.store.untag(&reference).map_err(|e| e.to_string())?;
        }
        self.changed.send_modify(|n| *n += 1);
        Ok(())
    }

    fn collect(&self, layers_in_use: HashSet<PathBuf>) -> BoxFuture<'static, Result<u64, String>> {
        let store = self.store.clone();
        let before = SystemTime::from(self.clock.now()) - BLOB_AGE_MIN;
        Box::pin(async move {
            let work = move || store.collect(&layers_in_use, before).map_err(|e| e.to_string());
            tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
        })
    }
}

/// In the words of the runtime that most clusters have.
fn failure(reference: &str, error: &Error) -> Failure {
    let reason = match error {
        Error::Reference(_) => "InvalidImageName",
        _ => "ErrImagePull",
    };
    let what = format!("failed to pull and unpack image {reference:?}: ");
    let text = match error {
        Error::Refused { .. } | Error::Unreachable { .. } | Error::NotFound(_) => {
            format!("{what}failed to resolve reference {reference:?}: {error}")
        }
        _ => format!("{what}{error}"),
    };
    Failure::new(reason, text)
}

pub struct HostNetwork(Arc<Links>);

impl HostNetwork {
    pub fn new(links: Arc<Links>) -> Self {
        HostNetwork(links)
    }
}

impl PodNetwork for HostNetwork {
    fn attach(&self, pod_uid: &str, netns: PathBuf) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let (links, uid) = (Arc::clone(&self.0), pod_uid.to_owned());
        let work = move || links.attach(&uid, &netns).map(|addresses| addresses.iter().collect()).map_err(|e| crate::error_text::told(&e));
        Box::pin(async move { tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())? })
    }

    fn detach(&self, pod_uid: &str) -> BoxFuture<'static, Result<(), String>> {
        let (links, uid) = (Arc::clone(&self.0), pod_uid.to_owned());
        let work = move || links.detach(&uid).map_err(|e| crate::error_text::told(&e));
        Box::pin(async move { tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())? })
    }

    fn addresses(&self, pod_uid: &str) -> Vec<IpAddr> {
        self.0.addresses(pod_uid).map(|addresses| addresses.iter().collect()).unwrap_or_default()
    }
}
