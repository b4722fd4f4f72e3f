//! Takes out of an answer what no two servers share: uids, times, revisions, random names, allotted addresses and ports.
//!
//! Within a story a uid or an object's revision becomes a symbol that names the request which first showed it: a write that must
//! not change the revision shows the same symbol. Numbers keep the way they are written; the order of fields, which no client may
//! rely on, is not compared, and neither are the descriptions of columns, which are prose.

use std::collections::HashMap;

use serde_json::Value;

/// Later years were made by a server; stories use earlier ones.
const FIRST_SERVER_YEAR: u32 = 2026;

/// Upstream orders field managers by seconds, which differ, and the rules of a review as its caches hand them out.
const UNORDERED: &[&str] = &["managedFields", "nonResourceRules", "resourceRules"];

/// What the service account plugin calls its volume, with random letters behind.
const TOKEN_VOLUME: &str = "kube-api-access-";
const RANDOM_LEN: usize = 5;

/// How a continue token begins; further on it has a revision in it.
const CONTINUE_TOKEN: &str = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6";

/// The symbols of one story.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    uids: HashMap<String, String>,
    revisions: HashMap<String, String>,
    /// The request whose answer is masked, and how many uids and revisions were known before it.
    request: usize,
    n_before: (usize, usize),
    /// Generated names and what stands for them.
    names: Vec<(String, String)>,
}

impl Masks {
    /// A body: one JSON document, a line each of several, or any text.
    pub(crate) fn body(&mut self, text: &str) -> String {
        let is_json = serde_json::from_str::<Value>(text).is_ok();
        let lines: Vec<&str> = if is_json { vec![text] } else { text.split_inclusive('\n').collect() };
        lines.into_iter().map(|line| self.document(line)).collect()
    }

    fn document(&mut self, text: &str) -> String {
        let Ok(value) = serde_json::from_str::<Value>(text) else { return self.text(text) };
        self.learn_names(&value);
        let is_list = value.get("items").is_some() || value.get("rows").is_some();
        let is_bookmark = value["type"] == "BOOKMARK";
        let mut walk = Walk { masks: self, text, at: 0, out: String::with_capacity(text.len()), keys: Vec::new(), is_list, is_bookmark };
        walk.value();
        let rest = &text[walk.at..];
        let masked = walk.out + rest;
        serde_json::from_str::<Value>(&masked).map_or(masked, |value| format!("{value}\n"))
    }

    /// The name that a refusal shows may have been made of the prefix that was sent; a long one is cut.
    pub(crate) fn sent(&mut self, body: &str, answer: &str) {
        const PREFIX_MAX: usize = 58;
        let prefix = serde_json::from_str::<Value>(body).map(|sent| sent["metadata"]["generateName"].as_str().unwrap_or("").to_owned());
        let Ok(prefix) = prefix.map(|prefix| prefix[..prefix.floor_char_boundary(PREFIX_MAX)].to_owned()) else { return };
        let Ok(answer) = serde_json::from_str::<Value>(answer) else { return };
        let made = answer["details"]["name"].as_str().or(answer["metadata"]["name"].as_str()).unwrap_or("");
        if !prefix.is_empty() {
            self.learn_name(&prefix, made);
        }
    }

    fn learn_name(&mut self, prefix: &str, name: &str) {
        let is_made = name.len() == prefix.len() + RANDOM_LEN && name.starts_with(prefix);
        if is_made && !self.names.iter().any(|(known, _)| known == name) {
            self.names.push((name.to_owned(), format!("{prefix}<random>")));
        }
    }

    fn learn_names(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                if let (Some(prefix), Some(name)) =
                    (map.get("generateName").and_then(Value::as_str), map.get("name").and_then(Value::as_str))
                {
                    self.learn_name(prefix, name);
                }
                map.values().for_each(|member| self.learn_names(member));
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn_names(item)),
            _ => {}
        }
    }

    /// From here on answers belong to the story's next request.
    pub(crate) fn next_request(&mut self) {
        self.request += 1;
        self.n_before = (self.uids.len(), self.revisions.len());
    }

    fn uid(&mut self, uid: &str) -> String {
        if let Some(symbol) = self.uids.get(uid) {
            return symbol.clone();
        }
        let symbol = format!("<uid {}.{}>", self.request, self.uids.len() - self.n_before.0);
        self.uids.insert(uid.to_owned(), symbol.clone());
        symbol
    }

    fn revision(&mut self, revision: &str) -> String {
        if let Some(symbol) = self.revisions.get(revision) {
            return symbol.clone();
        }
        let symbol = format!("<rv {}.{}>", self.request, self.revisions.len() - self.n_before.1);
        self.revisions.insert(revision.to_owned(), symbol.clone());
        symbol
    }

    /// Any text: uids, times, addresses and generated names within it.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, shown) in &self.names {
            text = text.replace(name, shown);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let is_start = !before.is_ascii_alphanumeric();
            let (shown, len) = if !is_start {
                (None, 0)
            } else if is_uuid(rest) {
                (Some(self.uid(&rest[..36])), 36)
            } else if let Some(len) = server_time(rest) {
                (Some("<time>".to_owned()), len)
            } else if rest.starts_with(CONTINUE_TOKEN) {
                let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
                (Some("<continue>".to_owned()), len)
            } else if rest.starts_with(TOKEN_VOLUME) && rest.len() >= TOKEN_VOLUME.len() + RANDOM_LEN {
                (Some(format!("{TOKEN_VOLUME}<random>")), TOKEN_VOLUME.len() + RANDOM_LEN)
            } else if let Some(len) = address(rest, "10.96.") {
                (Some("<ip4>".to_owned()), len)
            } else if let Some(len) = address(rest, "fd00:96:") {
                (Some("<ip6>".to_owned()), len)
            } else {
                (None, 0)
            };
            match shown {
                Some(shown) => {
                    out.push_str(&shown);
                    rest = &rest[len..];
                    before = '0';
                }
                None => {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                    before = c;
                }
            }
        }
        self.revisions_in(&out)
    }

    /// Revisions and ports that a message names.
    fn revisions_in(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for mark in ["ResourceVersion in precondition: ", "ResourceVersion in object meta: ", "resourceVersion: \""] {
            if let Some(at) = text.find(mark).map(|at| at + mark.len()) {
                let len = text[at..].bytes().take_while(u8::is_ascii_digit).count();
                if len > 0 {
                    let shown = self.revision(&text[at..at + len].to_owned());
                    text.replace_range(at..at + len, &shown);
                }
            }
        }
        for mark in ["current: ", "ResourceVersion in record (", "192.0.2.10:"] {
            if let Some(at) = text.find(mark).map(|at| at + mark.len()) {
                let len = text[at..].bytes().take_while(u8::is_ascii_digit).count();
                text.replace_range(at..at + len, "<n>");
            }
        }
        text
    }
}

/// Copies a JSON document and puts masks in.
struct Walk<'m, 't> {
    masks: &'m mut Masks,
    text: &'t str,
    at: usize,
    out: String,
    keys: Vec<String>,
    is_list: bool,
    /// Its revision is one at which anybody wrote something.
    is_bookmark: bool,
}

impl<'t> Walk<'_, 't> {
    fn blank(&mut self) {
        while self.text[self.at..].starts_with([' ', '\n', '\r', '\t']) {
            self.take(1);
        }
    }

    fn take(&mut self, len: usize) {
        self.out.push_str(&self.text[self.at..self.at + len]);
        self.at += len;
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn value(&mut self) {
        self.blank();
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string(),
            _ => self.plain(),
        }
        self.blank();
    }

    fn object(&mut self) {
        self.take(1);
        self.blank();
        while self.peek() == b'"' {
            let token = self.token();
            self.out.push_str(token);
            self.keys.push(serde_json::from_str(token).unwrap_or_default());
            self.blank();
            self.take(1); // the colon
            self.value();
            self.keys.pop();
            if self.peek() == b',' {
                self.take(1);
                self.blank();
            }
        }
        self.take(1);
    }

    /// Some lists are sorted. Their items' fields have no order, so it is made the same.
    fn array(&mut self) {
        let is_causes = self.keys.last().is_some_and(|key| key == "causes");
        let is_unordered = is_causes || self.keys.last().is_some_and(|key| UNORDERED.contains(&key.as_str()));
        self.take(1);
        self.blank();
        let begin = self.out.len();
        let mut items = Vec::new();
        while self.peek() != b']' && self.peek() != 0 {
            self.value();
            if is_unordered {
                let item = self.out.split_off(begin);
                items.push(serde_json::from_str::<Value>(&item).map_or(item, |value| value.to_string()));
            }
            if self.peek() == b',' {
                if is_unordered {
                    self.at += 1
                } else {
                    self.take(1)
                }
                self.blank();
            }
        }
        if !is_causes {
            items.sort();
        } else if items.iter().all(|item| item.contains("FieldManagerConflict")) {
            // Upstream names managers in any order, and the fields of each in theirs.
            items.sort_by_cached_key(|item| {
                serde_json::from_str::<Value>(item).map_or_else(|_| String::new(), |cause| cause["message"].to_string())
            });
        }
        self.out.push_str(&items.join(","));
        self.take(1);
    }

    /// Steps over a string literal.
    fn token(&mut self) -> &'t str {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let end = (end + 1).min(bytes.len());
        let token = &self.text[self.at..end];
        self.at = end;
        token
    }

    fn string(&mut self) {
        let token = self.token();
        let text: String = serde_json::from_str(token).unwrap_or_default();
        let masked = self.masked(&text);
        if masked == text { self.out.push_str(token) } else { self.out.push_str(&Value::from(masked).to_string()) }
    }

    fn masked(&mut self, text: &str) -> String {
        let key = self.keys.last().map(String::as_str).unwrap_or("");
        match key {
            "resourceVersion" if matches!(text, "" | "0") => text.to_owned(),
            "resourceVersion" if self.is_list && self.keys.len() == 2 && self.keys[0] == "metadata" => "<rv>".to_owned(),
            "resourceVersion" if self.is_bookmark => "<rv>".to_owned(),
            "resourceVersion" => self.masks.revision(text),
            "continue" if !text.is_empty() => "<continue>".to_owned(),
            "token" if text.starts_with("eyJ") => "<token>".to_owned(),
            "cells" if is_age(text) => "<age>".to_owned(),
            "description" if self.keys.iter().any(|key| key == "columnDefinitions") => String::new(),
            "message" => self.masks.text(&without_document(text)),
            _ => self.masks.text(text),
        }
    }

    fn plain(&mut self) {
        let len = self.text[self.at..].bytes().take_while(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n')).count();
        let is_port = self.keys.last().is_some_and(|key| matches!(key.as_str(), "nodePort" | "healthCheckNodePort"));
        let number: u32 = self.text[self.at..self.at + len].parse().unwrap_or(0);
        if is_port && (30_000..32_768).contains(&number) {
            self.out.push_str("\"<port>\"");
            self.at += len;
        } else {
            self.take(len);
        }
    }
}

/// A message that shows a whole object shows its fields in the order in which it is written.
fn without_document(text: &str) -> String {
    const BEGIN: &str = "Invalid value: \"{";
    let starts = ["\\\"apiVersion\\\":", "\\\"kind\\\":"];
    let begin = text.find(BEGIN).map(|at| at + BEGIN.len()).filter(|at| starts.iter().any(|start| text[*at..].starts_with(start)));
    match (begin, text.rfind("}\": ")) {
        (Some(begin), Some(end)) if begin < end => format!("{}…{}", &text[..begin], &text[end..]),
        _ => text.to_owned(),
    }
}

/// `12s`, as tables show it.
fn is_age(text: &str) -> bool {
    text.strip_suffix('s').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// The length of an RFC 3339 time that no story can have sent.
fn server_time(text: &str) -> Option<usize> {
    let year: u32 = text.get(..4)?.parse().ok()?;
    let form = text.get(..19)?.bytes().map(|b| if b.is_ascii_digit() { '0' } else { b as char }).collect::<String>();
    if year < FIRST_SERVER_YEAR || year > 2100 || form != "0000-00-00T00:00:00" {
        return None;
    }
    let fraction = text[19..].bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    text[19 + fraction..].starts_with('Z').then_some(20 + fraction)
}

fn address(text: &str, range: &str) -> Option<usize> {
    let host = text.strip_prefix(range)?;
    let len = host.bytes().take_while(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':')).count();
    // A range is not an address.
    (!host[len..].starts_with('/')).then_some(range.len() + len)
}
