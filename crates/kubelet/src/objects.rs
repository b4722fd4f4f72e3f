//! Config maps and secrets that pods of this node refer to, fetched when they are needed.

use std::sync::Arc;

use client::{Api, Client};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use object::key::ObjectKey;
use pod_plan::references::{Objects, References};

pub struct ObjectSource {
    config_maps: Api<ConfigMap>,
    secrets: Api<Secret>,
}

impl ObjectSource {
    pub fn new(client: &Client) -> Self {
        ObjectSource { config_maps: Api::new(client), secrets: Api::new(client) }
    }

    /// Fails only when the API server does; what is not there is not there.
    pub async fn fetch(&self, namespace: &str, names: &References) -> Result<Objects, client::Error> {
        let mut objects = Objects::default();
        for name in &names.config_maps {
            let found = self.config_maps.find(&ObjectKey::new(namespace, name)).await?;
            objects.config_maps.insert(name.clone(), found.map(Arc::new));
        }
        for name in &names.secrets {
            let found = self.secrets.find(&ObjectKey::new(namespace, name)).await?;
            objects.secrets.insert(name.clone(), found.map(Arc::new));
        }
        Ok(objects)
    }
}
