//! What a request may ask of a verb beside its object, already parsed. Texts and refusals of bad values stand here too.

use object::field::{self, Path};
use object::key::GroupVersionKind;
use object::selector::{FieldSelector, LabelSelector};
use object::status::Status;

/// List, watch and deletecollection.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    pub resource_version: String,
    pub version_match: VersionMatch,
    /// 0: no limit.
    pub limit: usize,
    pub continue_token: String,
    pub timeout_seconds: Option<u64>,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VersionMatch {
    #[default]
    Unset,
    Exact,
    NotOlderThan,
    Unknown(String),
}

/// Create, update, patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: Vec<String>,
    pub field_manager: String,
    pub field_validation: FieldValidation,
    /// Only server-side apply may set it.
    pub force: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
    Unknown(String),
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation: Option<Propagation>,
    pub dry_run: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
    Unknown(String),
}

/// Upstream: `FieldManagerMaxLength`.
const FIELD_MANAGER_LEN_MAX: usize = 128;

impl WriteOptions {
    pub fn is_dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    /// `options_kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`; `is_apply` says that the patch is server-side apply.
    pub fn check(&self, options_kind: &str, is_apply: bool) -> Result<(), Status> {
        let mut faults = Vec::new();
        if options_kind == "PatchOptions" && !is_apply && self.force.is_some() {
            faults.push(field::Error::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        if is_apply && self.field_manager.is_empty() {
            faults.push(field::Error::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
        if self.field_manager.len() > FIELD_MANAGER_LEN_MAX {
            faults.push(field::Error::too_long(&Path::new("fieldManager"), FIELD_MANAGER_LEN_MAX));
        }
        for (i, c) in self.field_manager.chars().enumerate() {
            if c.is_control() {
                faults.push(field::Error::invalid(
                    &Path::new("fieldManager"),
                    self.field_manager.clone(),
                    format!("invalid character U+{:04X} (at position {i})", c as u32),
                ));
                break;
            }
        }
        check_dry_run(&self.dry_run, &mut faults);
        if let FieldValidation::Unknown(text) = &self.field_validation {
            faults.push(field::Error::not_supported(&Path::new("fieldValidation"), text.clone(), &["", "Ignore", "Strict", "Warn"]));
        }
        refuse(options_kind, &faults)
    }
}

impl DeleteOptions {
    /// From a `DeleteOptions` body; null asks for nothing.
    pub fn from_tree(body: &serde_json::Value) -> Self {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        DeleteOptions {
            grace_period_seconds: body["gracePeriodSeconds"].as_i64(),
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            orphan_dependents: body["orphanDependents"].as_bool(),
            propagation: body["propagationPolicy"].as_str().and_then(Propagation::parse),
            dry_run: body["dryRun"].as_array().into_iter().flatten().filter_map(text).collect(),
        }
    }

    pub fn is_dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    pub fn check(&self) -> Result<(), Status> {
        let mut faults = Vec::new();
        let policy_path = Path::new("propagationPolicy");
        if self.propagation.is_some() && self.orphan_dependents.is_some() {
            faults.push(field::Error::invalid(
                &policy_path,
                self.propagation.as_ref().map_or("", Propagation::text),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if let Some(Propagation::Unknown(text)) = &self.propagation {
            faults.push(not_supported(&policy_path, text, &["Foreground", "Background", "Orphan", "nil"]));
        }
        check_dry_run(&self.dry_run, &mut faults);
        refuse("DeleteOptions", &faults)
    }
}

impl Propagation {
    /// Empty means that nothing was asked for.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "Orphan" => Some(Propagation::Orphan),
            "Background" => Some(Propagation::Background),
            "Foreground" => Some(Propagation::Foreground),
            other => Some(Propagation::Unknown(other.to_owned())),
        }
    }

    fn text(&self) -> &str {
        match self {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Unknown(text) => text,
        }
    }
}

fn check_dry_run(values: &[String], faults: &mut Vec<field::Error>) {
    if values.iter().any(|v| v != "All") {
        let shown = serde_json::Value::from(values.to_vec());
        faults.push(field::Error::not_supported(&Path::new("dryRun"), shown, &["All"]));
    }
}

fn refuse(options_kind: &str, faults: &[field::Error]) -> Result<(), Status> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", options_kind), "", faults))
}

impl VersionMatch {
    fn text(&self) -> &str {
        match self {
            VersionMatch::Unset => "",
            VersionMatch::Exact => "Exact",
            VersionMatch::NotOlderThan => "NotOlderThan",
            VersionMatch::Unknown(text) => text,
        }
    }
}

/// Upstream shows these choices in the order in which it wrote them down, not sorted as elsewhere.
fn not_supported(path: &Path, value: &str, supported: &[&str]) -> field::Error {
    let quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    field::Error { detail: format!("supported values: {}", quoted.join(", ")), ..field::Error::not_supported(path, value, supported) }
}

impl ListOptions {
    /// How many objects an answer may have; 0 is all. Upstream: its cache, which answers those who take any revision, knows no limit.
    pub(crate) fn limit(&self) -> usize {
        if self.resource_version == "0" && self.continue_token.is_empty() { 0 } else { self.limit }
    }

    /// `is_watch` tells watches from lists: each allows its own members.
    pub fn check(&self, is_watch: bool) -> Result<(), Status> {
        let mut faults = Vec::new();
        let match_path = Path::new("resourceVersionMatch");
        let send_path = Path::new("sendInitialEvents");
        let is_set = self.version_match != VersionMatch::Unset;
        match (is_watch, self.send_initial_events) {
            (true, Some(_)) if self.version_match != VersionMatch::NotOlderThan => {
                faults
                    .push(field::Error::forbidden(&match_path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
            }
            (true, None) if is_set => {
                faults.push(field::Error::forbidden(
                    &match_path,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            (false, Some(_)) => faults.push(field::Error::forbidden(&send_path, "sendInitialEvents is forbidden for list")),
            (false, None) if is_set => self.check_list_match(&match_path, &mut faults),
            _ => {}
        }
        match (&self.version_match, is_watch) {
            (VersionMatch::Unset | VersionMatch::NotOlderThan, _) | (VersionMatch::Exact, false) => {}
            (odd, true) => faults.push(not_supported(&match_path, odd.text(), &["NotOlderThan"])),
            (odd, false) => faults.push(not_supported(&match_path, odd.text(), &["Exact", "NotOlderThan", ""])),
        }
        // Upstream: a watch of no revision or any is read as one that wants the initial events.
        let wants_initial = self.send_initial_events.is_none() && matches!(self.resource_version.as_str(), "" | "0");
        if is_watch && (is_set || wants_initial) && !self.continue_token.is_empty() {
            faults.push(field::Error::forbidden(&match_path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        refuse("ListOptions", &faults)
    }

    fn check_list_match(&self, path: &Path, faults: &mut Vec<field::Error>) {
        if self.resource_version.is_empty() {
            faults.push(field::Error::forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if !self.continue_token.is_empty() {
            faults.push(field::Error::forbidden(path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if self.version_match == VersionMatch::Exact && self.resource_version == "0" {
            faults.push(field::Error::forbidden(path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
        }
    }
}
