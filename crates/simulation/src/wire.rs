//! The way from one part of the cluster to the API server: it can be cut, and it counts what is written.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use client::transport::Error;
use client::{Body, Transport};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::watch;

/// How many writes the server has taken, signs of life left out: a cluster at rest makes none.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<AtomicU64>);

impl Writes {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
pub(crate) struct Wire {
    server: Arc<dyn Transport>,
    writes: Writes,
    is_up: watch::Receiver<bool>,
}

impl Wire {
    pub(crate) fn new(server: Arc<dyn Transport>, writes: Writes, is_up: watch::Receiver<bool>) -> Self {
        Wire { server, writes, is_up }
    }
}

fn no_route() -> Error {
    Error::transport("no route to the server")
}

/// Ready once the wire is down. A wire that nobody can cut any more stays up.
async fn cut(mut is_up: watch::Receiver<bool>) {
    if is_up.wait_for(|is_up| !is_up).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Transport for Wire {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<Body>, Error>> {
        let is_sign_of_life = request.uri().path().contains("/leases");
        let is_write = !is_sign_of_life && ![Method::GET, Method::HEAD].contains(request.method());
        let wire = self.clone();
        async move {
            if !*wire.is_up.borrow() {
                return Err(no_route());
            }
            let response = wire.server.send(request).await?;
            if is_write && response.status().is_success() {
                wire.writes.0.fetch_add(1, Ordering::Relaxed);
            }
            let cut = cut(wire.is_up).boxed();
            Ok(response.map(|inner| Severable { inner, cut }.boxed_unsync()))
        }
        .boxed()
    }
}

/// An answer that breaks off when the wire is cut, as an open watch must.
struct Severable {
    inner: Body,
    cut: BoxFuture<'static, ()>,
}

impl http_body::Body for Severable {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.cut.poll_unpin(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(no_route()))),
            Poll::Pending => Pin::new(&mut self.inner).poll_frame(context),
        }
    }
}
