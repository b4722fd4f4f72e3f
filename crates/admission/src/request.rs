//! What a plugin is told: the request, and where it happens.

use authz::UserInfo;
use kinds::Resource;
use object::key::{GroupResource, ObjectKey};
use object::meta;
use object::status::Status;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub operation: Operation,
    pub resource: &'a Resource,
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// Empty for a create.
    pub name: &'a str,
    pub user: &'a UserInfo,
}

/// Other objects, as of now.
pub trait View {
    fn get(&self, resource: &GroupResource, key: &ObjectKey) -> Option<Value>;
    /// All of a namespace, or of the cluster when it is empty.
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value>;
}

/// Where the request happens.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub view: &'a dyn View,
    /// The whole authorizer chain: some plugins ask whether the user holds a further right.
    pub authorize: &'a dyn Fn(&authz::Attributes<'_>) -> bool,
    /// Fresh for each request: the only thing plugins draw from it is a volume's name.
    pub random: u64,
}

impl Scene<'_> {
    pub(crate) fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.view.get(&GroupResource::new(group, plural), &ObjectKey::new(namespace, name))
    }

    pub(crate) fn list(&self, group: &str, plural: &str, namespace: &str) -> Vec<Value> {
        self.view.list(&GroupResource::new(group, plural), namespace)
    }

    /// Upstream: a right on a signer, or on all of its domain.
    pub(crate) fn holds_signer_right(&self, user: &authz::UserInfo, verb: &str, signer: &str) -> bool {
        let domain = format!("{}/*", signer.split('/').next().unwrap_or(""));
        [signer, &domain].iter().any(|name| {
            let attributes = authz::Attributes::resource(user, verb, "certificates.k8s.io", "*", "signers").named(name);
            (self.authorize)(&attributes)
        })
    }
}

impl Request<'_> {
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.resource.plural == plural && self.resource.group == group
    }

    /// The object itself, not a part of it.
    pub(crate) fn is_whole(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.is(group, plural)
    }

    /// 403 in the words of `admission.NewForbidden`.
    pub(crate) fn forbidden(&self, object: Option<&Value>, cause: impl AsRef<str>) -> Status {
        let in_object = |field: &str| object.map(|o| meta::text(o, field)).filter(|text| !text.is_empty());
        let name = match self.name {
            "" => in_object("name").or_else(|| in_object("generateName")).unwrap_or("Unknown"),
            name => name,
        };
        Status::forbidden(&self.resource.group_resource(), name, cause.as_ref())
    }
}
