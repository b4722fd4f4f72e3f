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

/// What stands at a written path, null when there is nothing.
pub fn value_at<'a>(object: &'a Value, path: &str) -> &'a Value {
    let (mut place, mut rest) = (object, path);
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some(inner) => inner,
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        place = match (place, step.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => items.get(index).unwrap_or(&Value::Null),
            _ => &place[step],
        };
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    place
}

/// One fault. `detail` holds what follows the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub fault: Fault,
    pub path: String,
    pub value: Value,
    pub detail: String,
    /// How the value is shown when its JSON would not be what upstream shows; not at all when empty.
    pub shown: Option<String>,
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
    TooShort,
    TooMany,
    TooFew,
    Internal,
    TypeInvalid,
}

impl Error {
    fn new(fault: Fault, path: &Path, value: Value, detail: String) -> Self {
        Error { fault, path: path.0.clone(), value, detail, shown: None }
    }
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(Fault::Required, path, Value::Null, detail.into())
    }
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, path, value.into(), detail.into())
    }
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(Fault::Duplicate, path, value.into(), String::new())
    }
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(Fault::Forbidden, path, Value::Null, detail.into())
    }
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(Fault::NotFound, path, value.into(), String::new())
    }
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(Fault::Internal, path, Value::Null, detail.into())
    }
    /// `supported` is shown quoted and in the order given, as upstream does.
    pub fn not_supported(path: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| quoted(s)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(Fault::NotSupported, path, value.into(), detail)
    }
    pub fn too_long(path: &Path, max_bytes: usize) -> Self {
        Self::new(Fault::TooLong, path, Value::Null, at_most(max_bytes, "byte"))
    }
    pub fn too_long_characters(path: &Path, max: usize) -> Self {
        Self::new(Fault::TooLong, path, Value::Null, at_most(max, "character"))
    }
    pub fn too_short(path: &Path, min: usize) -> Self {
        Self::new(Fault::TooShort, path, Value::Null, format!("must be at least {min} {}", plural(min, "character")))
    }
    pub fn too_few(path: &Path, actual: usize, min: usize) -> Self {
        Self::new(Fault::TooFew, path, Value::from(actual), format!("must have at least {min} {}", plural(min, "item")))
    }
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        Self::new(Fault::TooMany, path, Value::from(actual), format!("must have at most {max} {}", plural(max, "item")))
    }

    /// The same fault with the value shown as this text.
    #[must_use]
    pub fn showing(self, text: String) -> Self {
        Error { shown: Some(text), ..self }
    }

    /// The same fault, silent about the value.
    #[must_use]
    pub fn omitting(self) -> Self {
        self.showing(String::new())
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
            Fault::TooShort => "FieldValueTooShort",
            Fault::TooMany => "FieldValueTooMany",
            Fault::TooFew => "FieldValueTooFew",
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
            Fault::TooShort => "Too short",
            Fault::TooMany => "Too many",
            Fault::TooFew => "Too few",
            Fault::Internal => "Internal error",
            Fault::TypeInvalid => "Invalid value",
        };
        let is_omitted = self.shown.as_deref() == Some("");
        let bare =
            is_omitted || matches!(self.fault, Fault::Required | Fault::Forbidden | Fault::TooLong | Fault::TooShort | Fault::Internal);
        let mut text =
            if bare { title.to_owned() } else { format!("{title}: {}", self.shown.clone().unwrap_or_else(|| shown(&self.value))) };
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

fn plural(n: usize, word: &str) -> String {
    if n == 1 { word.to_owned() } else { format!("{word}s") }
}

fn at_most(max: usize, word: &str) -> String {
    format!("may not be more than {max} {}", plural(max, word))
}

/// Go prints strings quoted, numbers bare, structs as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => quoted(text),
        // Go's encoder writes what HTML might take for its own in another way.
        Value::Array(_) | Value::Object(_) => value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        other => other.to_string(),
    }
}

/// Go's `%q`.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.path.is_empty() { "<nil>" } else { &self.path }, self.body())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_written_path_leads_to_what_stands_there() {
        let object = json!({"a": [{"b": {"x.y/z": 1}}], "m": {"0": 2}});
        let check = |path: &str, value: serde_json::Value| assert_eq!(*super::value_at(&object, path), value, "{path}");
        check("a[0].b[x.y/z]", json!(1));
        check("m[0]", json!(2));
        check("a[1].b", json!(null));
        check("", object.clone());
    }
}
