//! Why a patch could not be carried out, and the `Status` that says so.

use std::fmt;

use object::status::Status;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The patch itself is malformed.
    Malformed(String),
    /// The patch is well formed but does not fit the object; the text is for logs, upstream does not send it.
    DoesNotApply(String),
    TooManyOperations {
        limit: usize,
        got: usize,
    },
    /// Upstream: faults its handler does not know are answered as 500 without a reason.
    Unclassified(String),
}

impl Error {
    pub fn to_status(&self) -> Status {
        match self {
            Error::Malformed(text) => Status::bad_request(text),
            Error::DoesNotApply(_) => Status {
                details: json!({}),
                ..Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
            },
            Error::TooManyOperations { .. } => Status::request_too_large(format!("Request entity too large: {self}")),
            Error::Unclassified(text) => Status::new(500, "", text),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(text) | Error::DoesNotApply(text) | Error::Unclassified(text) => f.write_str(text),
            Error::TooManyOperations { limit, got } => {
                write!(f, "The allowed maximum operations in a JSON patch is {limit}, got {got}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// What Go's decoder says when a patch is of the wrong JSON type.
pub(crate) fn cannot_unmarshal(value: &Value, into: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {into}", kind_of(value))
}

/// As `cannot_unmarshal`, of a field's value.
pub(crate) fn cannot_unmarshal_field(value: &Value, owner: &str, field: &str, into: &str) -> String {
    format!("json: cannot unmarshal {} into Go struct field {owner}.{field} of type {into}", kind_of(value))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
