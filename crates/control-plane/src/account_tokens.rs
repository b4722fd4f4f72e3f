//! The row of service account tokens in Secrets.

use std::sync::Arc;

use client::options::Selection;
use client::{Api, Client, Error};
use control_cluster::account_token::{self, SECRET_TYPE};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use pki::token::TokenKey;
use reconcile::{Cache, Controller, Informers};

use crate::caches::Caches;

pub(crate) fn tokens(caches: &Arc<Caches>, informers: &Informers, client: &Client, root_ca: &str, key: Arc<TokenKey>) -> Controller {
    let secrets: Cache<Secret> = informers.select(Selection::fields(format!("type={SECRET_TYPE}")));
    let (planning, of_account, caches_read, root_ca) = (secrets.clone(), secrets.clone(), Arc::clone(caches), Arc::<str>::from(root_ca));
    let api = Api::<ServiceAccount>::new(client);
    Controller::observing("serviceaccount-token", "serviceaccount-token-controller", move |ask| {
        let (secret, caches, api) = (planning.get(&ask.key), Arc::clone(&caches_read), api.clone());
        let (root_ca, key) = (Arc::clone(&root_ca), Arc::clone(&key));
        async move {
            let Some(secret) = secret else { return Ok(Plan::nothing()) };
            let account = match account_token::account_name(&secret) {
                Some(name) => account(&caches, &api, &ObjectKey::new(ask.key.namespace.as_str(), name)).await?,
                None => None,
            };
            let sign = |claims: &str| key.sign(claims).ok();
            let view = account_token::View { secret: &secret, account: account.as_deref(), root_ca: &root_ca, sign: &sign };
            Ok(account_token::plan(&view))
        }
    })
    .watches(&secrets)
    .maps(&caches.accounts, move |changed| {
        let all = of_account.list_in(&changed.key.namespace);
        let its = all.iter().filter(|secret| account_token::account_name(secret) == Some(changed.key.name.as_str()));
        its.map(|secret| key_of(&secret.metadata)).collect()
    })
}

/// An account that no cache shows may have come a moment ago, and its token is not to be lost.
async fn account(caches: &Caches, api: &Api<ServiceAccount>, key: &ObjectKey) -> Result<Option<Arc<ServiceAccount>>, Error> {
    if let Some(account) = caches.accounts.get(key) {
        return Ok(Some(account));
    }
    match api.get(key).await {
        Ok(account) => Ok(Some(Arc::new(account))),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}
