//! The API server: Kubernetes' HTTP API in front of the registry.
//!
//! One handler serves TLS connections and callers in this process alike: authenticate, impersonate, authorize, then discovery,
//! documents, reviews or objects. What an object is and how it changes is the registry's matter; who may do what is `authz`'s.
//! Start with `handler`, then `resources` and `answer`.
//!
//! Invariants: every failure is answered as a `Status`; a panic in a handler is answered as 500 and ends nothing else; no body is
//! read beyond its limit.

mod answer;
mod authenticate;
mod body;
mod call;
mod compress;
mod decode;
mod deprecated;
mod discovery;
mod documents;
mod frames;
mod gathered;
mod handler;
mod health;
mod impersonate;
mod legacy_tokens;
mod limits;
mod list;
mod listing;
mod local;
mod message_list;
mod messages;
mod metrics;
mod negotiate;
mod openapi;
mod pass_on;
mod pieces;
mod policy;
mod pretty;
mod query;
mod request_info;
mod resources;
mod reviews;
mod serve;
mod special;
mod standing;
mod start;
mod table;
mod token_objects;
mod tokens;
mod users;
mod version;
mod web_socket;

use std::collections::HashMap;
use std::sync::Arc;

use authz::UserInfo;
use pki::token::TokenKey;
use registry::Registry;

pub use body::Body;
pub use local::Local;
pub use serve::Tls;

/// What an API server is told at its start.
pub struct Settings {
    pub registry: Registry,
    pub token_key: Arc<TokenKey>,
    /// `iss` of service account tokens, and their audience when none is asked for.
    pub issuer: String,
    /// Bearer tokens that stand for fixed users: the administrator's.
    pub static_tokens: HashMap<String, UserInfo>,
    /// `host:port` that clients outside reach, for discovery.
    pub address: String,
    /// How this server shows itself to kubelets; `None` when there are none (tests, simulations).
    pub kubelet_tls: Option<Arc<rustls::ClientConfig>>,
}

pub struct ApiServer {
    registry: Registry,
    tokens: tokens::Tokens,
    static_tokens: HashMap<String, Arc<UserInfo>>,
    policy: Arc<policy::Policy>,
    address: String,
    kubelet_tls: Option<Arc<rustls::ClientConfig>>,
    limits: limits::Limits,
    metrics: metrics::Metrics,
    openapi: openapi::Documents,
    shared_frames: frames::Shared,
    /// Of the bootstrap, in the order of `Step`.
    n_steps_done: std::sync::atomic::AtomicUsize,
    /// No new connection is taken; those that stand are still answered for a moment.
    is_stopping: std::sync::atomic::AtomicBool,
}

impl ApiServer {
    pub fn new(settings: Settings) -> Arc<Self> {
        let policy = Arc::new(policy::Policy::new(settings.registry.store().clone()));
        let registry = settings.registry.guarded_by(Arc::clone(&policy) as Arc<dyn registry::Rights>);
        Arc::new(ApiServer {
            policy,
            registry,
            tokens: tokens::Tokens::new(settings.token_key, settings.issuer),
            static_tokens: settings.static_tokens.into_iter().map(|(token, user)| (token, Arc::new(user))).collect(),
            address: settings.address,
            kubelet_tls: settings.kubelet_tls,
            limits: limits::Limits::default(),
            metrics: metrics::Metrics::default(),
            openapi: openapi::Documents::default(),
            shared_frames: frames::Shared::default(),
            n_steps_done: std::sync::atomic::AtomicUsize::new(0),
            is_stopping: std::sync::atomic::AtomicBool::new(false),
        })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A client in this process that acts as `user`: the same handler without socket, TLS and authentication.
    pub fn local(self: &Arc<Self>, user: UserInfo) -> Local {
        Local::new(Arc::clone(self), Arc::new(user))
    }
}

#[cfg(test)]
mod tests;
