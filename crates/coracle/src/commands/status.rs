//! `coracle status`: what runs, where it answers, and how its nodes and pods stand.

use client::{api::Api, options::Selection};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::admin::admin_client;
use crate::cli::NameFlags;
use crate::daemon;
use crate::failure::Failure;
use crate::options::Place;
use crate::say;

pub(crate) fn run(flags: &NameFlags) -> Result<(), Failure> {
    let place = Place::of(flags)?;
    let Some(pid) = daemon::server_pid(&place) else {
        let kept = if place.store_dir().exists() { "stopped; its state is kept in" } else { "not there; it would lie in" };
        return Err(Failure::new(format!("cluster `{}` is {kept} {}", place.name, place.data_dir.display())).hint("coracle up"));
    };
    say!("cluster   {}", place.name);
    say!("server    process {}, log in {}", pid.as_raw_nonzero(), place.log_file().display());
    say!("data      {}", place.data_dir.display());
    crate::block_on(objects(&place))?
}

async fn objects(place: &Place) -> Result<(), Failure> {
    let failed = |e: client::Error| Failure::caused("the API does not answer", &e).hint(format!("less {}", place.log_file().display()));
    let client = admin_client(place)?;
    let nodes = Api::<Node>::new(&client).list(&Selection::everything()).await.map_err(failed)?.items.unwrap_or_default();
    let pods = Api::<Pod>::new(&client).list(&Selection::everything()).await.map_err(failed)?.items.unwrap_or_default();
    for node in &nodes {
        let status = node.status.as_ref();
        let ready = status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == "Ready"));
        let state = if ready.is_some_and(|c| c.status == "True") { "Ready" } else { "NotReady" };
        let addresses: Vec<&str> = status.iter().flat_map(|s| s.addresses.iter().flatten()).map(|a| a.address.as_str()).collect();
        say!("node      {} {state} ({})", node.metadata.name.as_deref().unwrap_or(""), addresses.join(", "));
    }
    let phase = |wanted: &str| pods.iter().filter(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some(wanted)).count();
    say!("pods      {} running, {} pending, {} in all", phase("Running"), phase("Pending"), pods.len());
    Ok(())
}
