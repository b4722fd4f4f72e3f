//! The part of JSONPath that printer columns use: fields, indexes, `*`, and filters that compare with a constant.

use serde_json::Value;

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `?(@.type=="Ready")`
    Filter {
        path: JsonPath,
        is_equal: bool,
        value: Value,
    },
}

#[derive(Debug, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads `.status.conditions[?(@.type=="Ready")].status`, also with a leading `$`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("unrecognized column definition {text:?}");
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = closing_bracket(after).ok_or_else(bad)?;
                steps.push(bracket(after[..end].trim()).ok_or_else(bad)?);
                rest = &after[end + 1..];
            } else {
                let after = rest.strip_prefix('.').ok_or_else(bad)?;
                let (name, len) = field_name(after);
                if name.is_empty() && after.starts_with('[') {
                    rest = after;
                    continue;
                }
                if name.is_empty() {
                    return Err(bad());
                }
                steps.push(if name == "*" { Step::All } else { Step::Field(name) });
                rest = &after[len..];
            }
        }
        Ok(JsonPath(steps))
    }

    /// All values it leads to; a missing key leads to none.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.find(value)).collect();
        }
        found.retain(|value| !value.is_null());
        found
    }
}

impl Step {
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = || value.as_array().into_iter().flatten();
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => {
                let len = items().count() as i64;
                let at = if *index < 0 { len + index } else { *index };
                usize::try_from(at).ok().and_then(|at| value.get(at)).into_iter().collect()
            }
            Step::All => match value {
                Value::Object(map) => map.values().collect(),
                _ => items().collect(),
            },
            Step::Filter { path, is_equal, value } => {
                items().filter(|item| path.find(item).into_iter().any(|found| found == value) == *is_equal).collect()
            }
        }
    }
}

/// A name up to the next unescaped `.` or `[`, and how much of the text it took.
fn field_name(text: &str) -> (String, usize) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, at),
            c => name.push(c),
        }
    }
    (name, text.len())
}

/// The `]` that ends what was opened, not one inside of quotes.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(name) = unquoted(text) {
        return Some(Step::Field(name.to_owned()));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        let (path, is_equal, value) = match filter.split_once("==") {
            Some((path, value)) => (path, true, value),
            None => filter.split_once("!=").map(|(path, value)| (path, false, value))?,
        };
        let path = JsonPath::parse(path.trim().strip_prefix('@')?).ok()?;
        let value = value.trim();
        let value = unquoted(value).map(Value::from).or_else(|| serde_json::from_str(value).ok())?;
        return Some(Step::Filter { path, is_equal, value });
    }
    text.parse().ok().map(Step::Index)
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}
