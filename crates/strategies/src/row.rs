//! One row a kind: how it may be named, what bumps its generation, what it resets and checks.

use std::collections::HashMap;
use std::sync::OnceLock;

use object::names;
use serde_json::Value;

use crate::Context;
use crate::check::{At, Faults};
use crate::{groups, shapes};

/// Rules of a name, also of the fixed part of a generated one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    Subdomain,
    /// The same as upstream generates it: in other words, and not for a fixed part.
    GeneratedSubdomain,
    Label,
    PathSegment,
    IpAddress,
    /// Upstream: `SIGNER:NAME`, or a path segment without a colon; which one, the signer's own rule checks.
    TrustBundle,
}

impl NameRule {
    pub(crate) fn faults(self, name: &str) -> Vec<String> {
        match self {
            NameRule::Subdomain => names::subdomain_faults(name),
            NameRule::GeneratedSubdomain => names::subdomain_faults_in_bytes(name),
            NameRule::Label => names::label_faults(name),
            NameRule::PathSegment => names::path_segment_faults(name),
            NameRule::IpAddress => ip_faults(name),
            NameRule::TrustBundle => names::path_segment_faults(name),
        }
    }

    /// A base that ends in dashes is fine: more letters follow.
    pub(crate) fn prefix_faults(self, base: &str) -> Vec<String> {
        if self == NameRule::GeneratedSubdomain {
            return Vec::new();
        }
        let trimmed = base.trim_end_matches('-');
        if !matches!(self, NameRule::Subdomain | NameRule::Label) || trimmed.is_empty() || trimmed.len() == base.len() {
            return self.faults(base);
        }
        self.faults(&format!("{trimmed}a"))
    }
}

fn ip_faults(name: &str) -> Vec<String> {
    let value = Value::from(name);
    let mut found = Faults::default();
    shapes::canonical_ip(&At::root(&value), name, &mut found);
    found.into_list().into_iter().map(|fault| fault.detail).collect()
}

/// What a write to `status` takes over of the metadata that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusMetadata {
    /// As sent.
    Sent,
    /// All but labels.
    SentButLabels,
    /// None of labels, annotations, finalizers, owners.
    Kept,
}

/// Old, if there is one, and new.
pub(crate) type Complete = fn(Option<&Value>, &mut Value);
pub(crate) type Create = fn(&mut Value, &Context<'_>);
/// Subresource, old, new.
pub(crate) type Update = fn(&str, &Value, &mut Value, &Context<'_>);
/// Beyond metadata.
pub(crate) type Validate = fn(&At<'_>, &mut Faults);
/// Subresource, old, new; beyond metadata.
pub(crate) type ValidateUpdate = fn(&str, &At<'_>, &At<'_>, &mut Faults);
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) name: NameRule,
    /// JSON pointers whose change makes a new generation; `None` when the kind has no generation.
    pub(crate) generation: Option<&'static [&'static str]>,
    /// Whether a field that is then dropped makes a new generation too.
    pub(crate) counts_dropped: bool,
    /// Whether a create may set status.
    pub(crate) keeps_status_on_create: bool,
    pub(crate) status_metadata: StatusMetadata,
    pub(crate) complete: Option<Complete>,
    pub(crate) create: Option<Create>,
    pub(crate) update: Option<Update>,
    /// After all checks, whatever was written.
    pub(crate) canonicalize: Option<fn(&mut Value)>,
    pub(crate) validate: Option<Validate>,
    pub(crate) validate_update: Option<ValidateUpdate>,
}

impl Row {
    /// The rules that hold where a kind has none of its own.
    pub(crate) const fn new(group: &'static str, plural: &'static str) -> Self {
        Row {
            group,
            plural,
            name: NameRule::Subdomain,
            generation: None,
            counts_dropped: false,
            keeps_status_on_create: false,
            status_metadata: StatusMetadata::Sent,
            complete: None,
            create: None,
            update: None,
            canonicalize: None,
            validate: None,
            validate_update: None,
        }
    }

    /// A kind whose `spec` is what it is about.
    pub(crate) const fn with_generation(self) -> Self {
        self.bumped_by(&["/spec"])
    }

    /// Whether finalizers must be well known or have a domain. Upstream forgets it of some statuses.
    pub(crate) fn has_bound_finalizers(&self, subresource: &str) -> bool {
        let is_free = matches!(
            self.group,
            "admissionregistration.k8s.io"
                | "coordination.k8s.io"
                | "node.k8s.io"
                | "policy"
                | "apiextensions.k8s.io"
                | "apiregistration.k8s.io"
        );
        let is_forgotten =
            subresource == "status" && matches!(self.group, "flowcontrol.apiserver.k8s.io" | "batch") && self.plural != "jobs";
        !self.plural.is_empty() && !is_free && !is_forgotten && (self.group, self.plural) != ("", "events")
    }

    pub(crate) const fn checked(self, validate: Validate, validate_update: ValidateUpdate) -> Self {
        Row { validate: Some(validate), validate_update: Some(validate_update), ..self }
    }

    pub(crate) const fn bumped_by(self, pointers: &'static [&'static str]) -> Self {
        Row { generation: Some(pointers), ..self }
    }
}

/// Upstream: a custom resource gets a new generation when anything but metadata and status changes.
const CUSTOM: Row = Row { generation: Some(&["*"]), status_metadata: StatusMetadata::Kept, ..Row::new("", "") };

pub(crate) fn find(group: &str, plural: &str) -> &'static Row {
    static ROWS: OnceLock<HashMap<(&str, &str), &Row>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| groups::ROWS.iter().flat_map(|rows| rows.iter()).map(|row| ((row.group, row.plural), row)).collect());
    rows.get(&(group, plural)).copied().unwrap_or(&CUSTOM)
}

/// Whether objects of a kind carry `metadata.generation`.
pub fn counts_generation(group: &str, plural: &str) -> bool {
    find(group, plural).generation.is_some()
}
