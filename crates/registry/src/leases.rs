//! Events go after an hour. Many share one lease, so that a burst of them costs no lease each.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kinds::Resource;
use object::status::Status;
use object::time;
use store::LeaseId;

use crate::{Registry, faults};

/// Upstream: `--event-ttl`.
const EVENT_LIFE: Duration = Duration::from_secs(3_600);
/// Events of this long share a lease and go together. Upstream: one twentieth of their life.
const SHARED_FOR: Duration = Duration::from_secs(180);

#[derive(Default)]
pub(crate) struct EventLease {
    present: Mutex<Option<(LeaseId, Timestamp)>>,
}

impl Registry {
    /// The lease a new object is put with; only events have one.
    pub(crate) async fn lease_for(&self, resource: &Resource) -> Result<Option<LeaseId>, Status> {
        if resource.plural != "events" {
            return Ok(None);
        }
        let now = self.clock.now();
        let present = *self.event_lease.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((lease, _)) = present.filter(|(_, since)| time::since(now, *since) < SHARED_FOR) {
            return Ok(Some(lease));
        }
        let lease = self.store.grant(EVENT_LIFE + SHARED_FOR).await.map_err(|e| faults::from_store(&e))?;
        *self.event_lease.present.lock().unwrap_or_else(PoisonError::into_inner) = Some((lease, now));
        Ok(Some(lease))
    }
}
