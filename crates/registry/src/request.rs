//! Who asks for what, and what the engine answers: the words between the API server and the registry.

use std::sync::Arc;

use authz::UserInfo;
use kinds::Resource;
use object::key::GroupResource;
use object::status::Status;
use serde_json::{Value, json};

use crate::form::Stored;

/// What every write function reads of a request.
#[derive(Clone, Debug)]
pub struct Request {
    pub resource: Arc<Resource>,
    pub subresource: String,
    pub namespace: String,
    /// Empty for a create.
    pub name: String,
    pub user: Arc<UserInfo>,
}

impl Request {
    pub fn group_resource(&self) -> GroupResource {
        self.resource.group_resource()
    }
    pub fn not_found(&self) -> Status {
        Status::not_found(&self.group_resource(), &self.name)
    }
}

#[derive(Clone, Debug)]
pub enum Answer {
    Stored(Stored),
    /// Something that is not in the store: a dry run, a `Scale`, a `Status` of success.
    Tree(Value),
}

#[derive(Clone, Debug)]
pub struct Written {
    pub answer: Answer,
    pub is_new: bool,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

/// `Status` with `Success`, as deletions of most kinds answer.
pub fn success(resource: &GroupResource, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": resource.resource});
    for (field, text) in [("group", resource.group.as_str()), ("uid", uid)] {
        if !text.is_empty() {
            details[field] = Value::from(text);
        }
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
