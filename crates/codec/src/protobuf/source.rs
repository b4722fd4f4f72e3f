//! What messages are made of: trees, and the tape of a JSON text, behind one trait, so that there is one encoder.

use std::borrow::Cow;

use serde_json::Value;

/// A JSON value in Go's form. Asked for what it is not, it answers as if it were absent.
pub(super) trait Source<'a>: Copy {
    /// What stands where nothing stands.
    fn null(self) -> Self;
    fn is_null(self) -> bool;
    fn is_string(self) -> bool;
    fn is_array(self) -> bool;
    fn is_object(self) -> bool;
    fn bool(self) -> bool;
    fn int(self) -> i64;
    fn double(self) -> f64;
    /// A string's bytes; none for all else.
    fn text(self) -> Cow<'a, [u8]>;
    /// The value as JSON text.
    fn json(self) -> Cow<'a, [u8]>;
    fn each_item(self, visit: impl FnMut(Self));
    fn each_member(self, visit: impl FnMut(&[u8], Self));
}

impl<'a> Source<'a> for &'a Value {
    fn null(self) -> Self {
        &Value::Null
    }
    fn is_null(self) -> bool {
        Value::is_null(self)
    }
    fn is_string(self) -> bool {
        Value::is_string(self)
    }
    fn is_array(self) -> bool {
        Value::is_array(self)
    }
    fn is_object(self) -> bool {
        Value::is_object(self)
    }
    fn bool(self) -> bool {
        self.as_bool().unwrap_or(false)
    }
    fn int(self) -> i64 {
        self.as_i64().unwrap_or(0)
    }
    fn double(self) -> f64 {
        self.as_f64().unwrap_or(0.0)
    }
    fn text(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self.as_str().unwrap_or("").as_bytes())
    }
    fn json(self) -> Cow<'a, [u8]> {
        Cow::Owned(self.to_string().into_bytes())
    }
    fn each_item(self, visit: impl FnMut(Self)) {
        self.as_array().into_iter().flatten().for_each(visit);
    }
    fn each_member(self, mut visit: impl FnMut(&[u8], Self)) {
        self.as_object().into_iter().flatten().for_each(|(name, value)| visit(name.as_bytes(), value));
    }
}
