//! `Api<K>`: the same calls for one kind, with typed views. Namespaces come from keys and from objects' own metadata.

use std::any::TypeId;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use object::Value;
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{DeleteOptions, PatchKind, key_of};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::options::{Query, Selection};
use crate::transport::Error;
use crate::watch::{Start, Watch, Watched};

/// A typed view with metadata: every built-in kind.
pub trait Kind: Resource + Metadata<Ty = ObjectMeta> + DeserializeOwned + Serialize + Send + Sync + 'static {}
impl<K: Resource + Metadata<Ty = ObjectMeta> + DeserializeOwned + Serialize + Send + Sync + 'static> Kind for K {}

pub fn is_namespaced<K: Resource<Scope: 'static>>() -> bool {
    TypeId::of::<K::Scope>() == TypeId::of::<NamespaceResourceScope>()
}

/// One answer to a list request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
pub struct List<K> {
    #[serde(default)]
    pub metadata: ListMeta,
    /// Upstream: an empty list may be written as null.
    #[serde(default = "Option::default")]
    pub items: Option<Vec<K>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    pub resource_version: String,
    pub r#continue: String,
    pub remaining_item_count: Option<i64>,
}

pub struct Api<K> {
    client: Client,
    resource: GroupVersionResource,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        Api { client: self.client.clone(), resource: self.resource.clone(), kind: PhantomData }
    }
}

impl<K: Kind> Api<K> {
    pub fn new(client: &Client) -> Self {
        Api { client: client.clone(), resource: GroupVersionResource::of::<K>(), kind: PhantomData }
    }

    pub async fn get(&self, key: &ObjectKey) -> Result<K, Error> {
        self.client.get(&self.resource.path(key)).await
    }

    /// Like `get`, with `None` for an object that is not there.
    pub async fn find(&self, key: &ObjectKey) -> Result<Option<K>, Error> {
        match self.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The whole selection in one consistent answer.
    pub async fn list(&self, selection: &Selection) -> Result<List<K>, Error> {
        list(&self.client, &self.resource, selection).await
    }

    pub async fn create(&self, object: &K) -> Result<K, Error> {
        let namespace = object.metadata().namespace.as_deref().unwrap_or("");
        self.client.create(&self.resource.collection_path(namespace), object).await
    }

    pub async fn update(&self, object: &K) -> Result<K, Error> {
        self.client.update(&self.resource.path(&key_of(object.metadata())), object).await
    }

    pub async fn update_status(&self, object: &K) -> Result<K, Error> {
        self.client.update(&format!("{}/status", self.resource.path(&key_of(object.metadata()))), object).await
    }

    /// `subresource` is empty or, say, `status`.
    pub async fn patch(&self, key: &ObjectKey, subresource: &str, kind: PatchKind, patch: &Value) -> Result<K, Error> {
        let mut path = self.resource.path(key);
        if !subresource.is_empty() {
            path.push('/');
            path.push_str(subresource);
        }
        self.client.patch(&path, kind, patch).await
    }

    pub async fn delete(&self, key: &ObjectKey, options: &DeleteOptions) -> Result<Value, Error> {
        self.client.delete(&self.resource.path(key), options).await
    }

    pub fn watch(&self, selection: &Selection, start: Start) -> Watch<K> {
        Watch::new(self.client.clone(), &self.resource, selection, start)
    }
}

/// Lists objects of any view, which `T` need not know to be a kind.
pub async fn list<T: Watched>(client: &Client, resource: &GroupVersionResource, selection: &Selection) -> Result<List<T>, Error> {
    list_page(client, resource, selection, Query::default()).await
}

/// Lists with further query terms: `limit`, `continue`, `resourceVersion`.
pub async fn list_page<T: Watched>(
    client: &Client,
    resource: &GroupVersionResource,
    selection: &Selection,
    further: Query,
) -> Result<List<T>, Error> {
    let mut query = selection.query();
    query.append(&further);
    client.get_as(&format!("{}{}", resource.collection_path(&selection.namespace), query.as_str()), T::ACCEPT_LIST).await
}
