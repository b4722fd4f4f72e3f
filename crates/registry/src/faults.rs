//! The one mapping from the store's failures to `Status`.

use object::status::Status;

/// Upstream's text of `apierrors.NewTooLargeResourceVersionError`.
pub(crate) fn version_too_large(asked: u64, current: u64) -> Status {
    let message = format!("Too large resource version: {asked}, current: {current}");
    Status {
        details: serde_json::json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }),
        ..Status::timeout(format!("Timeout: {message}"))
    }
}

pub(crate) fn from_store(error: &store::Error) -> Status {
    match error {
        store::Error::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        store::Error::Future { current } => version_too_large(current.0 + 1, current.0),
        // Upstream: what etcd says of a request that is too large for it.
        store::Error::TooLarge { .. } => Status::request_too_large("etcdserver: request is too large"),
        store::Error::NoSpace => Status::internal("etcdserver: mvcc: database space exceeded"),
        store::Error::Closed => Status::unavailable("the server is shutting down"),
        store::Error::InUse(_) => Status::internal("the store is in use by another process"),
        store::Error::Invalid(what) => Status::internal(format!("the store refused a write: {what}")),
        store::Error::LeaseNotFound(_) => Status::internal("etcdserver: requested lease not found"),
        store::Error::Unknown(step) => Status::timeout(format!("request did not complete within the allotted time: {step}")),
        store::Error::Corrupt(what) => Status::internal(format!("the store is damaged: {what}")),
        store::Error::Io(cause) => Status::internal(format!("the store cannot be written: {cause}")),
    }
}
