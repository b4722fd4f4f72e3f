//! Which objects a list or watch means: label and field selectors, and upstream's rows of selectable fields.
//!
//! Matching never builds a tree: `Facets` reads labels and the few fields asked for out of the stored bytes.

use std::borrow::Cow;
use std::fmt;

use kinds::Resource;
use object::selector::{FieldSelector, LabelSelector};
use object::status::Status;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::form;

/// A field name clients may select by, and where its value lies.
type FieldRow = (&'static str, &'static [&'static str]);

struct KindFields {
    group: &'static str,
    plural: &'static str,
    rows: &'static [FieldRow],
}

/// Upstream: an event whose source names no component is selected by who reports it.
const SOURCE: &str = "source";
const SOURCE_FALLBACK: &str = "reportingComponent";

const EVENT_FIELDS: &[FieldRow] = &[
    ("involvedObject.kind", &["involvedObject", "kind"]),
    ("involvedObject.namespace", &["involvedObject", "namespace"]),
    ("involvedObject.name", &["involvedObject", "name"]),
    ("involvedObject.uid", &["involvedObject", "uid"]),
    ("involvedObject.apiVersion", &["involvedObject", "apiVersion"]),
    ("involvedObject.resourceVersion", &["involvedObject", "resourceVersion"]),
    ("involvedObject.fieldPath", &["involvedObject", "fieldPath"]),
    ("reason", &["reason"]),
    (SOURCE_FALLBACK, &["reportingComponent"]),
    (SOURCE, &["source", "component"]),
    ("type", &["type"]),
];

/// The same objects under the names of the younger group.
const REGARDING_FIELDS: &[FieldRow] = &[
    ("regarding.kind", &["involvedObject", "kind"]),
    ("regarding.namespace", &["involvedObject", "namespace"]),
    ("regarding.name", &["involvedObject", "name"]),
    ("regarding.uid", &["involvedObject", "uid"]),
    ("regarding.apiVersion", &["involvedObject", "apiVersion"]),
    ("regarding.resourceVersion", &["involvedObject", "resourceVersion"]),
    ("regarding.fieldPath", &["involvedObject", "fieldPath"]),
    ("reason", &["reason"]),
    ("reportingController", &["reportingComponent"]),
    ("type", &["type"]),
];

const FIELDS: &[KindFields] = &[
    KindFields {
        group: "",
        plural: "pods",
        rows: &[
            ("spec.nodeName", &["spec", "nodeName"]),
            ("spec.restartPolicy", &["spec", "restartPolicy"]),
            ("spec.schedulerName", &["spec", "schedulerName"]),
            ("spec.serviceAccountName", &["spec", "serviceAccountName"]),
            ("spec.hostNetwork", &["spec", "hostNetwork"]),
            ("status.phase", &["status", "phase"]),
            ("status.podIP", &["status", "podIP"]),
            ("status.podIPs", &["status", "podIP"]),
            ("status.nominatedNodeName", &["status", "nominatedNodeName"]),
        ],
    },
    KindFields { group: "", plural: "events", rows: EVENT_FIELDS },
    KindFields { group: "events.k8s.io", plural: "events", rows: REGARDING_FIELDS },
    KindFields { group: "", plural: "nodes", rows: &[("spec.unschedulable", &["spec", "unschedulable"])] },
    KindFields { group: "", plural: "namespaces", rows: &[("status.phase", &["status", "phase"])] },
    KindFields { group: "", plural: "secrets", rows: &[("type", &["type"])] },
    KindFields { group: "", plural: "services", rows: &[("spec.clusterIP", &["spec", "clusterIP"]), ("spec.type", &["spec", "type"])] },
    KindFields { group: "", plural: "replicationcontrollers", rows: &[("status.replicas", &["status", "replicas"])] },
    KindFields { group: "batch", plural: "jobs", rows: &[("status.successful", &["status", "succeeded"])] },
    KindFields {
        group: "certificates.k8s.io",
        plural: "certificatesigningrequests",
        rows: &[("spec.signerName", &["spec", "signerName"])],
    },
    KindFields { group: "certificates.k8s.io", plural: "clustertrustbundles", rows: &[("spec.signerName", &["spec", "signerName"])] },
    KindFields {
        group: "certificates.k8s.io",
        plural: "podcertificaterequests",
        rows: &[
            ("spec.signerName", &["spec", "signerName"]),
            ("spec.podName", &["spec", "podName"]),
            ("spec.nodeName", &["spec", "nodeName"]),
        ],
    },
    KindFields {
        group: "resource.k8s.io",
        plural: "resourceslices",
        rows: &[
            ("spec.nodeName", &["spec", "nodeName"]),
            ("spec.driver", &["spec", "driver"]),
            ("spec.pool.name", &["spec", "pool", "name"]),
        ],
    },
];

/// Values that read as `false` or `0` when the object does not hold them.
const BOOLEAN_FIELDS: &[&str] = &["spec.hostNetwork", "spec.unschedulable"];
const NUMBER_FIELDS: &[&str] = &["status.replicas", "status.successful"];

fn kind_rows(resource: &Resource) -> &'static [FieldRow] {
    FIELDS.iter().find(|k| k.plural == resource.plural && k.group == resource.group).map_or(&[], |k| k.rows)
}

/// A selection that has been checked against its resource.
#[derive(Clone, Debug)]
pub struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    /// Paths of the fields asked for, beside name and namespace.
    paths: Vec<FieldRow>,
}

impl Selection {
    pub fn new(resource: &Resource, labels: &LabelSelector, fields: &FieldSelector) -> Result<Self, Status> {
        let rows = kind_rows(resource);
        let mut paths = Vec::new();
        for term in &fields.terms {
            match term.path.as_str() {
                "metadata.name" => {}
                "metadata.namespace" if resource.namespaced => {}
                path => paths.push(*rows.iter().find(|(name, _)| *name == path).ok_or_else(|| unknown_field(resource, path, rows))?),
            }
            if term.path == SOURCE {
                paths.extend(rows.iter().find(|(name, _)| *name == SOURCE_FALLBACK));
            }
        }
        Ok(Selection { labels: labels.clone(), fields: fields.clone(), paths })
    }

    pub fn everything() -> Self {
        Selection { labels: LabelSelector::everything(), fields: FieldSelector::default(), paths: Vec::new() }
    }

    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The value a field must equal, when the selection says so.
    pub(crate) fn required_value(&self, path: &str) -> Option<&str> {
        self.fields.terms.iter().find(|t| t.path == path && t.equal).map(|t| t.value.as_str())
    }

    /// Name and namespace come from the key; the rest is read from the stored bytes only when it is needed.
    pub fn matches(&self, namespace: &str, name: &str, stored: &[u8]) -> bool {
        if self.is_everything() {
            return true;
        }
        let by_key = |path: &str| match path {
            "metadata.name" => Some(name),
            "metadata.namespace" => Some(namespace),
            _ => None,
        };
        let terms = &self.fields.terms;
        if !terms.iter().all(|t| by_key(&t.path).is_none_or(|v| (v == t.value) == t.equal)) {
            return false;
        }
        if self.paths.is_empty() && self.labels.is_everything() {
            return true;
        }
        let facets = Facets::read(stored, &self.paths, !self.labels.is_everything());
        let label = |key: &str| facets.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        self.labels.matches_with(&label)
            && self.fields.matches_with(&|path| match by_key(path) {
                Some(value) => Cow::Borrowed(value),
                None => Cow::Borrowed(facets.field(path)),
            })
    }
}

/// Upstream: kinds with own rows answer one text, all others another.
fn unknown_field(resource: &Resource, path: &str, rows: &[FieldRow]) -> Status {
    if rows.is_empty() {
        Status::bad_request(format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""))
    } else if resource.plural == "jobs" {
        Status::bad_request(format!("field label {path:?} not supported for Job"))
    } else {
        Status::bad_request(format!("field label not supported: {path}"))
    }
}

/// What selectors look at, read out of stored bytes.
#[derive(Debug, Default)]
struct Facets {
    labels: Vec<(String, String)>,
    fields: Vec<(&'static str, String)>,
}

impl Facets {
    fn read(stored: &[u8], paths: &[FieldRow], with_labels: bool) -> Self {
        let mut facets = Facets::default();
        let whole = form::whole(stored);
        let mut reader = serde_json::Deserializer::from_slice(&whole);
        let mut n_wanted = paths.len() + usize::from(with_labels);
        // A stored object always parses. The walk ends early, with an error, once everything has been found.
        let walk = Walk { facets: &mut facets, paths, depth: 0, with_labels, in_metadata: false, n_wanted: &mut n_wanted };
        let _ = walk.deserialize(&mut reader);
        facets
    }

    fn field(&self, path: &str) -> &str {
        match self.fields.iter().find(|(name, _)| *name == path) {
            Some((_, value)) if path != SOURCE || !value.is_empty() => value,
            _ if path == SOURCE => self.field(SOURCE_FALLBACK),
            Some((_, value)) => value,
            None if BOOLEAN_FIELDS.contains(&path) => "false",
            None if NUMBER_FIELDS.contains(&path) => "0",
            None => "",
        }
    }
}

/// Visits one map of the object: `paths` are those that lead through it, of which `depth` steps are done.
struct Walk<'a, 'r> {
    facets: &'a mut Facets,
    paths: &'r [FieldRow],
    depth: usize,
    with_labels: bool,
    in_metadata: bool,
    n_wanted: &'a mut usize,
}

impl Walk<'_, '_> {
    fn step<'p>(&'p mut self, paths: &'p [FieldRow], into_metadata: bool) -> Walk<'p, 'p> {
        Walk {
            facets: self.facets,
            paths,
            depth: self.depth + 1,
            with_labels: self.with_labels && into_metadata,
            in_metadata: self.with_labels && into_metadata,
            n_wanted: self.n_wanted,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("part of an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let leads_on: Vec<FieldRow> =
                self.paths.iter().filter(|(_, path)| path.get(self.depth) == Some(&name.as_ref())).copied().collect();
            if self.in_metadata && name == "labels" {
                if let Some(labels) = map.next_value::<Option<std::collections::BTreeMap<String, String>>>()? {
                    self.facets.labels = labels.into_iter().collect();
                }
                *self.n_wanted -= 1;
            } else if self.depth == 0 && name == "metadata" && (self.with_labels || !leads_on.is_empty()) {
                map.next_value_seed(self.step(&leads_on, true))?;
            } else if leads_on.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else if leads_on.iter().any(|(_, path)| path.len() == self.depth + 1) {
                if let Some(text) = scalar_text(&map.next_value::<serde_json::Value>()?) {
                    self.facets.fields.extend(leads_on.iter().map(|(name, _)| (*name, text.clone())));
                }
                *self.n_wanted -= leads_on.len();
            } else {
                map.next_value_seed(self.step(&leads_on, false))?;
            }
            if *self.n_wanted == 0 {
                return Err(serde::de::Error::custom("everything has been found"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// One field of stored bytes; `None` when it is not there.
pub(crate) fn field_value(stored: &[u8], path: &'static [&'static str]) -> Option<String> {
    let facets = Facets::read(stored, &[("", path)], false);
    facets.fields.into_iter().next().map(|(_, value)| value)
}

fn scalar_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
