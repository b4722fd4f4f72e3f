//! Field paths and the faults validation finds, in upstream's words (`apimachinery/pkg/util/validation/field`).

use std::fmt;

use serde_json::Value;

/// `spec.containers[0].ports[1].name`; `labels[some/key]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    pub fn new(root: &str) -> Self {
        Path(root.to_owned())
    }
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Path(name.to_owned()) } else { Path(format!("{}.{name}", self.0)) }
    }
    pub fn index(&self, index: usize) -> Self {
        Path(format!("{}[{index}]", self.0))
    }
    pub fn key(&self, key: &str) -> Self {
        Path(format!("{}[{key}]", self.0))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// One fault. `detail` holds what follows the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub fault: Fault,
    pub path: String,
    pub value: Value,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl Error {
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Error { fault: Fault::Required, path: path.0.clone(), value: Value::Null, detail: detail.into() }
    }
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Error { fault: Fault::Invalid, path: path.0.clone(), value: value.into(), detail: detail.into() }
    }
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Error { fault: Fault::Duplicate, path: path.0.clone(), value: value.into(), detail: String::new() }
    }
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Error { fault: Fault::Forbidden, path: path.0.clone(), value: Value::Null, detail: detail.into() }
    }
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Error { fault: Fault::NotFound, path: path.0.clone(), value: value.into(), detail: String::new() }
    }
    /// `supported` is shown quoted and sorted, as upstream does.
    pub fn not_supported(path: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        quoted.sort();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Error { fault: Fault::NotSupported, path: path.0.clone(), value: value.into(), detail }
    }
    pub fn too_long(path: &Path, max_bytes: usize) -> Self {
        Error { fault: Fault::TooLong, path: path.0.clone(), value: Value::Null, detail: format!("may not be more than {max_bytes} bytes") }
    }
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        Error { fault: Fault::TooMany, path: path.0.clone(), value: Value::from(actual), detail: format!("must have at most {max} items") }
    }

    /// The `reason` of a `StatusCause`.
    pub fn reason(&self) -> &'static str {
        match self.fault {
            Fault::NotFound => "FieldValueNotFound",
            Fault::Required => "FieldValueRequired",
            Fault::Duplicate => "FieldValueDuplicate",
            Fault::Invalid => "FieldValueInvalid",
            Fault::NotSupported => "FieldValueNotSupported",
            Fault::Forbidden => "FieldValueForbidden",
            Fault::TooLong => "FieldValueTooLong",
            Fault::TooMany => "FieldValueTooMany",
            Fault::Internal => "InternalError",
            Fault::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The text after the path.
    pub fn body(&self) -> String {
        let title = match self.fault {
            Fault::NotFound => "Not found",
            Fault::Required => "Required value",
            Fault::Duplicate => "Duplicate value",
            Fault::Invalid => "Invalid value",
            Fault::NotSupported => "Unsupported value",
            Fault::Forbidden => "Forbidden",
            Fault::TooLong => "Too long",
            Fault::TooMany => "Too many",
            Fault::Internal => "Internal error",
            Fault::TypeInvalid => "Invalid value",
        };
        let bare = matches!(self.fault, Fault::Required | Fault::Forbidden | Fault::TooLong | Fault::Internal);
        let mut text = if bare { title.to_owned() } else { format!("{title}: {}", shown(&self.value)) };
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

/// Go prints strings quoted, numbers bare, structs as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.path.is_empty() { "<nil>" } else { &self.path }, self.body())
    }
}
