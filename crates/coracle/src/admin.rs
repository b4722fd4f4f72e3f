//! The administrator's client: what the commands use to talk to a cluster on this host.

use std::sync::Arc;

use client::remote::Remote;
use client::{Client, kubeconfig};

use crate::failure::Failure;
use crate::options::Place;

pub(crate) fn admin_client(place: &Place) -> Result<Client, Failure> {
    let failed = |e: client::Error| Failure::caused("the API cannot be reached", &e).hint(format!("less {}", place.log_file().display()));
    let target = kubeconfig::read(&place.admin_kubeconfig(), None).map_err(failed)?;
    Ok(Client::new(Arc::new(Remote::new(target).map_err(failed)?)))
}
