//! The embedded runtime: the [`Runtime`] trait over one shim a sandbox.
//!
//! State on disk is the truth of what exists, shims are the truth of what runs; what is held here is a copy of both, rebuilt
//! when a new process opens the same directory:
//!
//! ```text
//! <root>/sandboxes/<id>/sandbox.json   the sandbox as asked for
//!                      /shim.sock      its shim, while it runs
//!                      /containers/<id>/config.json, journal, upper, work
//! ```
//!
//! Start reading at [`EmbeddedRuntime::open`].

mod adoption;
mod calls;
mod containers;
mod link;
mod model;
mod sandboxes;
mod spawn;
mod streams;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::cgroup::{CgroupPath, Cgroups};
use crate::runtime::{Error, Event, Result};
use model::Model;

/// A node has at most a few hundred containers; who is further behind lists again.
const N_EVENTS_MAX: usize = 4096;

/// How long a shim may take for what needs no other process.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Starting looks up volumes, which may be on a network that hangs.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long killed processes may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Options {
    /// Where sandboxes are kept. Its file system holds the writable layers, so it can be no overlay itself.
    pub root: PathBuf,
    /// The cgroup of the shims, beside those of the pods: `/coracle/main/shims`.
    pub shims_cgroup: String,
}

/// Cheap to clone; all clones are the same runtime.
#[derive(Clone)]
pub struct EmbeddedRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    cgroups: Cgroups,
    shims_cgroup: CgroupPath,
    binary: spawn::Binary,
    events: broadcast::Sender<Event>,
    model: Mutex<Model>,
}

impl EmbeddedRuntime {
    /// Opens the directory and finds again every sandbox in it, whether its shim still runs or not.
    /// `main` must begin with [`crate::shim::become_shim_if_asked`].
    pub async fn open(options: Options) -> Result<EmbeddedRuntime> {
        let shims_cgroup = CgroupPath::parse(&options.shims_cgroup).map_err(Error::Invalid)?;
        let root = std::path::absolute(&options.root).map_err(io_error(format!("find {}", options.root.display())))?;
        let cgroups = Cgroups::probe().map_err(Error::Invalid)?;
        cgroups.make_for_shims(&shims_cgroup).map_err(Error::Invalid)?;
        spawn::make_private_dir(&root.join("sandboxes")).map_err(io_error(format!("make {}", root.display())))?;
        let binary = spawn::Binary::own().map_err(io_error("open the running binary".to_string()))?;
        let (events, _) = broadcast::channel(N_EVENTS_MAX);
        let shared = Shared { root, cgroups, shims_cgroup, binary, events, model: Mutex::default() };
        let runtime = EmbeddedRuntime { shared: Arc::new(shared) };
        runtime.adopt_all().await?;
        Ok(runtime)
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        // Held for map look-ups only; nothing in there panics half way.
        self.shared.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn announce(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.shared.events.send(event);
    }
}

/// Kills what is in a cgroup of ours in every hierarchy and removes it with all below; for cleaning up a cluster.
pub async fn destroy_cgroup(path: &str) -> Result<()> {
    let path = CgroupPath::parse(path).map_err(Error::Invalid)?;
    let cgroups = Cgroups::probe().map_err(Error::Invalid)?;
    let destroy = move || {
        cgroups.destroy(&path, KILL_TIMEOUT)?;
        cgroups.leave_top(&path);
        Ok(())
    };
    blocking(move || destroy().map_err(Error::DeadlineExceeded)).await
}

fn io_error(step: String) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { step, source }
}

/// File system and process work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::Io { step: "the runtime is shutting down".to_string(), source: std::io::Error::other(error) }),
    }
}
