//! The seam between those who make requests and those who carry them, and the one error of both.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use object::status::Status;

/// An answer's body, in whatever pieces the server sends.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// A body that is already whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Carries one request and its answer. The request's URI is a path with its query; the transport knows the rest.
pub trait Transport: Send + Sync + 'static {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<Body>, Error>>;
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub enum Error {
    /// The server answered, and the answer is a failure.
    Status(Status),
    /// No answer, or none that can be read. Whether the request took effect is not known.
    Transport { step: String, source: Option<Cause> },
}

impl Error {
    pub fn transport(step: impl Into<String>) -> Self {
        Error::Transport { step: step.into(), source: None }
    }

    pub fn caused(step: impl Into<String>, source: impl Into<Cause>) -> Self {
        Error::Transport { step: step.into(), source: Some(source.into()) }
    }

    pub fn status(&self) -> Option<&Status> {
        match self {
            Error::Status(status) => Some(status),
            Error::Transport { .. } => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }
    /// The revision asked for is no longer kept: list again.
    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(|s| s.code == 410)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Status(status) => status.fmt(f),
            Error::Transport { step, .. } => f.write_str(step),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Status(_) => None,
            Error::Transport { source, .. } => source.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static)),
        }
    }
}
