//! The stages of the write path that other crates decide, in the order in which the engine calls them.

use jiff::Timestamp;
use kinds::{Catalog, TypeId};
use object::status::Status;
use serde_json::Value;

use crate::Registry;
use crate::options::{FieldValidation, WriteOptions};
use crate::request::Request;

pub use authz::UserInfo;

/// What admission is told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// Who changed which fields, kept in `metadata.managedFields`.
pub struct Tracking<'a> {
    pub manager: &'a str,
    pub operation: Operation,
    pub subresource: &'a str,
    pub now: Timestamp,
}

/// Unknown fields of a tree that was not read from text (a patched object): refused, or returned as warnings; then the tree is
/// brought into Go's form. The error is upstream's text about the first fault.
pub fn read_fields(catalog: &Catalog, type_id: TypeId, object: &mut Value, validation: &FieldValidation) -> Result<Vec<String>, String> {
    let unknown = match validation {
        FieldValidation::Ignore => Vec::new(),
        _ => codec::strict::check(catalog, type_id, object),
    };
    if *validation == FieldValidation::Strict && !unknown.is_empty() {
        return Err(format!("strict decoding error: {}", unknown.join(", ")));
    }
    codec::normalise(catalog, type_id, object)?;
    Ok(unknown)
}

impl Registry {
    pub(crate) fn applied(
        &self,
        _request: &Request,
        live: Option<&Value>,
        config: &Value,
        _options: &WriteOptions,
    ) -> Result<Value, Status> {
        match live {
            Some(live) => {
                let mut new = live.clone();
                patching::merge_patch(&mut new, config).map_err(|e| e.to_status())?;
                Ok(new)
            }
            None => Ok(config.clone()),
        }
    }

    pub(crate) fn track(&self, _request: &Request, _before: Option<&Value>, _after: &mut Value, _tracking: &Tracking<'_>) {}

    pub(crate) fn mutate(
        &self,
        _request: &Request,
        _operation: Operation,
        _old: Option<&Value>,
        _object: &mut Value,
    ) -> Result<(), Status> {
        Ok(())
    }

    pub(crate) fn admit(
        &self,
        _request: &Request,
        _operation: Operation,
        _old: Option<&Value>,
        _object: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// Admission of a subresource whose body is not the object itself.
    pub fn admit_subresource(&self, request: &Request, operation: Operation, body: &Value) -> Result<(), Status> {
        self.admit(request, operation, None, Some(body))
    }
}
