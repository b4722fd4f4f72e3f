//! What is asked of an authorizer, what it answers, and the `Status` of a refusal.

use std::collections::BTreeMap;

use object::key::GroupResource;
use object::status::Status;

/// Who asks, as authentication (or impersonation) found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// One request as authorizers see it. Empty means absent.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub user: &'a UserInfo,
    pub verb: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Set when the request names no resource.
    pub path: &'a str,
    pub is_resource_request: bool,
    /// `field=value` requirements of a list, watch or deletecollection.
    pub field_selector: &'a [(String, String)],
}

impl<'a> Attributes<'a> {
    pub fn resource(user: &'a UserInfo, verb: &'a str, group: &'a str, version: &'a str, resource: &'a str) -> Self {
        Attributes {
            user,
            verb,
            group,
            version,
            resource,
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            is_resource_request: true,
            field_selector: &[],
        }
    }

    pub fn path(user: &'a UserInfo, verb: &'a str, path: &'a str) -> Self {
        Attributes { path, is_resource_request: false, ..Self::resource(user, verb, "", "", "") }
    }

    pub fn in_namespace(self, namespace: &'a str) -> Self {
        Attributes { namespace, ..self }
    }
    pub fn named(self, name: &'a str) -> Self {
        Attributes { name, ..self }
    }
    pub fn with_subresource(self, subresource: &'a str) -> Self {
        Attributes { subresource, ..self }
    }

    /// `pods/log`, as rules and messages write it.
    pub fn combined_resource(&self) -> String {
        if self.subresource.is_empty() { self.resource.to_owned() } else { format!("{}/{}", self.resource, self.subresource) }
    }

    /// The text of a refusal, without the resource's name before it.
    pub fn denial(&self) -> String {
        let (user, verb) = (&self.user.name, self.verb);
        let text = if !self.is_resource_request {
            format!("User {user:?} cannot {verb} path {:?}", self.path)
        } else {
            let scope = match self.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!("User {user:?} cannot {verb} resource {:?} in API group {:?} {scope}", self.combined_resource(), self.group)
        };
        // Upstream: nothing a browser could take for HTML.
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }

    /// The 403 that a refused request gets.
    pub fn forbidden(&self, reason: &str) -> Status {
        let cause = if reason.is_empty() { self.denial() } else { format!("{}: {reason}", self.denial()) };
        Status::forbidden(&GroupResource::new(self.group, self.resource), self.name, &cause)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny,
    /// Nobody allows it: refused when no later authorizer does.
    NoOpinion,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub decision: Decision,
    pub reason: String,
}

impl Verdict {
    pub fn allow(reason: impl Into<String>) -> Self {
        Verdict { decision: Decision::Allow, reason: reason.into() }
    }
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Verdict { decision: Decision::NoOpinion, reason: reason.into() }
    }
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}
