//! A client's transport that never leaves the process: the same handler, no socket, no TLS, a user that is known already.

use std::sync::Arc;

use authz::UserInfo;
use bytes::Bytes;
use client::transport::{Error, Transport};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;

use crate::ApiServer;
use crate::body::RequestBody;
use crate::handler::Peer;

#[derive(Clone)]
pub struct Local {
    server: Arc<ApiServer>,
    user: Arc<UserInfo>,
}

impl Local {
    pub(crate) fn new(server: Arc<ApiServer>, user: Arc<UserInfo>) -> Self {
        Local { server, user }
    }
}

impl Transport for Local {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<client::Body>, Error>> {
        let (server, user) = (Arc::clone(&self.server), Arc::clone(&self.user));
        let (parts, body) = request.into_parts();
        async move {
            let response =
                server.handle(parts, RequestBody::Whole(body), Peer { user: Some(user), is_near: true, ..Peer::default() }).await;
            Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
        }
        .boxed()
    }
}
