//! How much at once, and for how long: requests in flight, and their deadline.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Response, header};
use object::duration;
use object::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer;
use crate::body::Body;
use crate::call::Call;

/// Upstream: 400 reading plus 200 writing.
const N_SHORT_MAX: usize = 600;
/// Upstream: a request waits at most a quarter of its deadline for a seat.
const SEAT_WAIT_MAX: Duration = Duration::from_secs(15);
/// Upstream: `--request-timeout`.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Limits {
    seats: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { seats: Arc::new(Semaphore::new(N_SHORT_MAX)) }
    }
}

impl Limits {
    /// A seat for a short request. Administrators and callers in this process need none: they must get through.
    pub(crate) async fn seat(&self, call: &Call) -> Result<Option<OwnedSemaphorePermit>, Response<Body>> {
        if call.info.is_long() || call.is_near || call.user.is_in(authz::PRIVILEGED_GROUP) {
            return Ok(None);
        }
        let waited = tokio::time::timeout(SEAT_WAIT_MAX, Arc::clone(&self.seats).acquire_owned()).await;
        waited.ok().and_then(Result::ok).map(Some).ok_or_else(|| {
            let mut response = answer::text(429, "Too many requests, please try again later.\n");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        })
    }
}

/// A client may ask for less time than the server would take; nothing and less than that ask for no limit of its own.
pub(crate) fn deadline(call: &Call) -> Result<Option<Duration>, Status> {
    if call.info.is_long() {
        return Ok(None);
    }
    let asked = match call.query.text("timeout") {
        "" => 0,
        text => {
            duration::parse(text).map_err(|fault| Status::bad_request(format!("invalid timeout specified in the request URL - {fault}")))?
        }
    };
    let asked = u64::try_from(asked).ok().filter(|nanos| *nanos > 0).map_or(REQUEST_TIMEOUT, Duration::from_nanos);
    Ok(Some(asked.min(REQUEST_TIMEOUT)))
}

pub(crate) fn out_of_time() -> Status {
    Status::timeout("Timeout: request did not complete within the allotted timeout")
}
