//! `coracle down` and `coracle reset`: ending what `up` began, and taking back everything it made.

use std::time::Duration;

use crate::cli::{NameFlags, ResetFlags};
use crate::failure::Failure;
use crate::options::{self, Place};
use crate::say;
use crate::{agent, daemon, kubeconfig, node};

/// The server itself ends in a second; its last writes may be slow on a slow disk.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn down(flags: &NameFlags) -> Result<(), Failure> {
    let place = Place::of(flags)?;
    let state = if daemon::stop_server(&place, PATIENCE)? { "stopped" } else { "was not running" };
    let n_pods = crate::block_on(node::stop_pods(&place))??;
    say!("Cluster `{}` {state}; {n_pods} pods ended; its state is kept in {}.", place.name, place.data_dir.display());
    Ok(())
}

pub(crate) fn reset(flags: &ResetFlags) -> Result<(), Failure> {
    let place = Place::of(&flags.which)?;
    let joined_as = agent::joined_as(&place);
    daemon::stop_server(&place, PATIENCE)?;
    crate::block_on(node::stop_pods(&place))??;
    crate::block_on(node::remove_traces(&place))??;
    match std::fs::remove_dir_all(&place.data_dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::caused(format!("cannot remove `{}`", place.data_dir.display()), &e));
        }
        _ => {}
    }
    kubeconfig::remove(&options::kubeconfig_path(flags.kubeconfig.as_deref())?, &place.context())?;
    say!("Cluster `{}` is gone, with everything it made on this host.", place.name);
    if let Some(node) = joined_as {
        // As with kubeadm and k3s: a host that leaves may not delete its Node, which the cluster may want to keep.
        say!("The cluster it had joined still has its Node. Where kubectl reaches that cluster:");
        say!("  kubectl delete node {node}");
    }
    Ok(())
}
