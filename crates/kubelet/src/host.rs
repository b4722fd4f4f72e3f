//! The host's image store and pod network behind the kubelet's seams.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use net_link::pod::PodNetwork as Links;
use object::time::Clock;
use oci_image::{ImageStore, Reference, Registries};
use oci_runtime::runtime::BoxFuture;
use pod_plan::effect::Failure;

use crate::seams::{Credentials, Image, Images, PodNetwork};

/// A push sends layers first and their manifest last; what is younger may still get a name.
const COLLECT_AFTER: Duration = Duration::from_secs(600);

/// Images of this host, and the registries it pulls from.
pub struct HostImages {
    store: ImageStore,
    registries: Registries,
    clock: Clock,
}

impl HostImages {
    pub fn new(store: ImageStore, registries: Registries, clock: Clock) -> Self {
        HostImages { store, registries, clock }
    }
}

fn shown(image: &oci_image::Image) -> Arc<Image> {
    let config = &image.config;
    // `repository@digest` identifies the image wherever it is pulled; one that was only built here has its id.
    let repository = image.names.first().and_then(|n| Reference::parse(n).ok()).map(|r| r.name());
    Arc::new(Image {
        id: image.id.to_string(),
        shown: repository.map_or_else(|| image.id.to_string(), |name| format!("{name}@{}", image.manifest)),
        names: image.names.clone(),
        size: image.size,
        layers: image.layers.clone(),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: config.entrypoint.clone().unwrap_or_default(),
        cmd: config.cmd.clone().unwrap_or_default(),
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        stop_signal: config.stop_signal.clone(),
    })
}

impl Images for HostImages {
    fn find(&self, reference: &str) -> Option<Arc<Image>> {
        self.store.find(reference).map(|image| shown(&image))
    }

    fn pull<'a>(&'a self, reference: &'a str, credentials: &'a [Credentials]) -> BoxFuture<'a, Result<Arc<Image>, Failure>> {
        let logins = credentials.iter().map(|c| oci_image::Credentials {
            host: c.registry.clone(),
            username: c.username.clone(),
            password: c.password.clone(),
        });
        let logins: Vec<_> = logins.collect();
        Box::pin(async move {
            let pulled = self.store.pull(reference, &self.registries, &logins, &|_, _, _| {}).await;
            pulled.map(|image| shown(&image)).map_err(|error| match error {
                oci_image::Error::Reference(bad) => Failure::new("InvalidImageName", bad.to_string()),
                error => Failure::new("ErrImagePull", format!("failed to pull and unpack image \"{reference}\": {error}")),
            })
        })
    }

    fn list(&self) -> Vec<Arc<Image>> {
        self.store.list().iter().map(|image| shown(image)).collect()
    }

    fn remove(&self, id: &str, layers_in_use: &[PathBuf]) -> Result<u64, String> {
        let Some(image) = self.store.find(id) else { return Ok(0) };
        for name in image.names.iter().filter_map(|n| Reference::parse(n).ok()) {
            self.store.untag(&name).map_err(|e| e.to_string())?;
        }
        let in_use: HashSet<PathBuf> = layers_in_use.iter().cloned().collect();
        let before = std::time::SystemTime::from(self.clock.now() - COLLECT_AFTER);
        self.store.collect(&in_use, before).map_err(|e| e.to_string())
    }
}

/// The pods' links on this host.
pub struct HostNetwork(Arc<Links>);

impl HostNetwork {
    pub fn new(links: Arc<Links>) -> Self {
        HostNetwork(links)
    }
}

/// Netlink calls wait for the kernel, and entering a namespace takes a thread of its own.
fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> BoxFuture<'static, Result<T, String>> {
    Box::pin(async move { tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(e.to_string())) })
}

impl PodNetwork for HostNetwork {
    fn attach(&self, pod_uid: &str, netns: PathBuf) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let (links, pod_uid) = (Arc::clone(&self.0), pod_uid.to_owned());
        off_thread(move || links.attach(&pod_uid, &netns).map(|a| a.iter().collect()).map_err(|e| e.to_string()))
    }

    fn detach(&self, pod_uid: &str) -> BoxFuture<'static, Result<(), String>> {
        let (links, pod_uid) = (Arc::clone(&self.0), pod_uid.to_owned());
        off_thread(move || links.detach(&pod_uid).map_err(|e| e.to_string()))
    }

    fn addresses(&self, pod_uid: &str) -> Vec<IpAddr> {
        self.0.addresses(pod_uid).map(|a| a.iter().collect()).unwrap_or_default()
    }
}
