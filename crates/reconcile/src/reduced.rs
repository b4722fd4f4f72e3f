//! An object of any kind reduced to its metadata: what the garbage collector needs to know of everything.

use std::fmt;

use client::watch::Watched;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::cache::Cached;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reduced {
    pub metadata: ObjectMeta,
}

impl Watched for Reduced {
    /// A server that does not know the reduced form sends whole objects, and the rest is skipped here.
    const ACCEPT: &'static str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    const ACCEPT_LIST: &'static str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

    fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or("")
    }
}

impl Cached for Reduced {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// Keeps what says who owns whom and who is going.
    fn trim(&mut self) {
        let full = std::mem::take(&mut self.metadata);
        self.metadata = ObjectMeta {
            namespace: full.namespace,
            name: full.name,
            uid: full.uid,
            resource_version: full.resource_version,
            owner_references: full.owner_references,
            finalizers: full.finalizers,
            deletion_timestamp: full.deletion_timestamp,
            creation_timestamp: full.creation_timestamp,
            ..ObjectMeta::default()
        };
    }
}

impl<'de> Deserialize<'de> for Reduced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Reduced;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reduced, A::Error> {
                let mut reduced = Reduced::default();
                while let Some(field) = map.next_key::<String>()? {
                    if field == "metadata" {
                        reduced.metadata = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(reduced)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
