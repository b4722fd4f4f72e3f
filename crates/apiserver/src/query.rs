//! Query strings: decoding, and the options that requests carry in them (`ListOptions`, `CreateOptions` and so on).

use object::selector::{FieldSelector, LabelSelector};
use object::status::Status;
use registry::options::{DeleteOptions, FieldValidation, ListOptions, Propagation, VersionMatch, WriteOptions};
use serde_json::Value;

/// How `+` reads: a space in queries, itself in paths.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    Space,
    Literal,
}

/// The pairs of a query, decoded, in the order sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                (percent_decode(key, Plus::Space), percent_decode(value, Plus::Space))
            })
            .collect();
        Query { pairs }
    }

    /// The first value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or("")
    }

    /// Upstream: present without a value is true; `false` and `0` in any case are false; everything else is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| !matches!(v, "false" | "False" | "FALSE" | "0" | "f" | "F"))
    }

    fn optional_flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|_| self.flag(key))
    }

    fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|e: std::num::ParseIntError| {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let why = if matches!(e.kind(), PosOverflow | NegOverflow) { "value out of range" } else { "invalid syntax" };
                Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            }),
        }
    }
}

pub(crate) fn percent_decode(text: &str, plus: Plus) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|c| char::from(*c).to_digit(16)).map(|d| d as u8);
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                at += 3;
                continue;
            }
            (b'+', ..) if plus == Plus::Space => plain.push(b' '),
            (other, ..) => plain.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// What list, watch and deletecollection read.
pub(crate) fn list_options(query: &Query) -> Result<ListOptions, Status> {
    let labels = LabelSelector::parse(query.text("labelSelector")).map_err(Status::bad_request)?;
    let fields = FieldSelector::parse(query.text("fieldSelector")).map_err(Status::bad_request)?;
    Ok(ListOptions {
        labels,
        fields,
        resource_version: query.text("resourceVersion").to_owned(),
        version_match: version_match(query.text("resourceVersionMatch"))?,
        limit: query.number("limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
        continue_token: query.text("continue").to_owned(),
        timeout_seconds: query.number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
        allow_bookmarks: query.flag("allowWatchBookmarks"),
        send_initial_events: query.optional_flag("sendInitialEvents"),
    })
}

fn version_match(text: &str) -> Result<VersionMatch, Status> {
    match text {
        "" => Ok(VersionMatch::Unset),
        "NotOlderThan" => Ok(VersionMatch::NotOlderThan),
        "Exact" => Ok(VersionMatch::Exact),
        other => Ok(VersionMatch::Unknown(other.to_owned())),
    }
}

/// What create, update and patch read. Upstream: a bad `fieldValidation` or `dryRun` is Invalid; `registry` refuses it.
pub(crate) fn write_options(query: &Query) -> Result<WriteOptions, Status> {
    Ok(WriteOptions {
        dry_run: query.all("dryRun").map(str::to_owned).collect(),
        field_manager: query.text("fieldManager").to_owned(),
        field_validation: match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => FieldValidation::Unknown(other.to_owned()),
        },
        force: query.optional_flag("force"),
    })
}

/// Deletion options from the body, or from the query when there is none.
pub(crate) fn delete_options(query: &Query, body: Option<&Value>) -> Result<DeleteOptions, Status> {
    let mut options = DeleteOptions::from_tree(body.unwrap_or(&Value::Null));
    if body.is_none() {
        options.grace_period_seconds = query.number("gracePeriodSeconds")?;
        options.orphan_dependents = query.optional_flag("orphanDependents");
        options.propagation = Propagation::parse(query.text("propagationPolicy"));
        options.dry_run = query.all("dryRun").map(str::to_owned).collect();
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+%28d%29&watch&limit=5&dryRun=All&x=%zz");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.flag("watch"));
        assert_eq!(query.get("x"), Some("%zz"));
        let options = list_options(&query).unwrap();
        assert_eq!(options.limit, 5);
        assert!(!Query::parse("watch=false").flag("watch"));
        assert!(list_options(&Query::parse("limit=x")).is_err());
    }
}
