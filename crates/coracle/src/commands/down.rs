//! `coracle down`: ending what `up` began; the state is kept.

use std::time::Duration;

use crate::cli::NameFlags;
use crate::daemon;
use crate::failure::Failure;
use crate::options::Place;

/// The server itself ends in a second; its last writes may be slow on a slow disk.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(flags: &NameFlags) -> Result<(), Failure> {
    let place = Place::of(flags)?;
    let state = if daemon::stop_server(&place, PATIENCE)? { "stopped" } else { "was not running" };
    println!("Cluster `{}` {state}; its state is kept in {}.", place.name, place.data_dir.display());
    Ok(())
}
