//! Who makes a request: a client certificate, a bearer token, or nobody in particular.

use std::sync::Arc;

use authz::UserInfo;
use http::{HeaderMap, header};
use jiff::Timestamp;
use object::status::Status;

use crate::ApiServer;
use crate::users::anonymous;

impl ApiServer {
    /// A certificate goes before a token, as upstream's chain does.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<Arc<UserInfo>>,
        until: Option<Timestamp>,
    ) -> Result<Arc<UserInfo>, Status> {
        if until.is_some_and(|until| until < self.registry.clock().now()) {
            return Err(Status::unauthorized());
        }
        if let Some(user) = peer {
            return Ok(user);
        }
        match bearer(headers) {
            Some(token) => self.user_of_token(&token, &[]).map(|(user, _)| user).ok_or_else(Status::unauthorized),
            None => Ok(anonymous()),
        }
    }

    /// The user a token stands for and the audiences it is good for; `audiences` empty means this server.
    pub(crate) fn user_of_token(&self, token: &str, audiences: &[String]) -> Option<(Arc<UserInfo>, Vec<String>)> {
        if let Some(user) = self.static_tokens.get(token) {
            return Some((Arc::clone(user), audiences.to_vec()));
        }
        if let Some(user) = crate::tokens::bootstrap_user(&self.registry, token) {
            return Some((Arc::new(user), audiences.to_vec()));
        }
        self.tokens.user(&self.registry, token, audiences)
    }
}

/// Browsers cannot set headers of a web socket; they send their token as one of its protocols.
const SOCKET_BEARER: &str = "base64url.bearer.authorization.k8s.io.";

fn bearer(headers: &HeaderMap) -> Option<String> {
    let Some(text) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
        return socket_bearer(headers);
    };
    let (scheme, token) = text.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

fn socket_bearer(headers: &HeaderMap) -> Option<String> {
    use base64::Engine;
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let encoded = protocols.split(',').find_map(|protocol| protocol.trim().strip_prefix(SOCKET_BEARER))?;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    String::from_utf8(token).ok()
}
