//! An object of any kind reduced to its metadata: what the garbage collector needs to know of everything.

use client::watch::Watched;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use crate::cache::Cached;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Reduced {
    #[serde(default, deserialize_with = "reduced")]
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

    /// It was never more.
    fn trim(&mut self) {}
}

/// What says who owns whom and who is going. The rest, `managedFields` above all, is passed over and not made into values first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
    deletion_timestamp: Option<Time>,
    creation_timestamp: Option<Time>,
}

fn reduced<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let kept = Kept::deserialize(deserializer)?;
    Ok(ObjectMeta {
        namespace: kept.namespace,
        name: kept.name,
        uid: kept.uid,
        resource_version: kept.resource_version,
        owner_references: kept.owner_references,
        finalizers: kept.finalizers,
        deletion_timestamp: kept.deletion_timestamp,
        creation_timestamp: kept.creation_timestamp,
        ..ObjectMeta::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_passed_over() {
        let text = r#"{"kind": "ConfigMap", "data": {"k": "v"}, "metadata": {
            "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7", "labels": {"x": "y"}, "finalizers": ["f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "o"}], "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}, "no entry"]}}"#;
        let metadata = serde_json::from_str::<Reduced>(text).unwrap().metadata;
        assert_eq!((metadata.name.as_deref(), metadata.namespace.as_deref(), metadata.uid.as_deref()), (Some("a"), Some("b"), Some("u")));
        assert_eq!((metadata.resource_version.as_deref(), metadata.finalizers), (Some("7"), Some(vec!["f".to_owned()])));
        assert_eq!(metadata.owner_references.map(|owners| owners[0].uid.clone()).as_deref(), Some("o"));
        assert!(metadata.creation_timestamp.is_some());
        assert_eq!((metadata.labels, metadata.managed_fields), (None, None));
        assert_eq!(serde_json::from_str::<Reduced>(r#"{"kind": "Status", "status": "Success"}"#).unwrap(), Reduced::default());
    }
}
