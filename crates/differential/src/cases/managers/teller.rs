//! A story of one object that several managers write, told step by step.

use crate::story::{Edit, Request, Story};

/// Tells of one object.
pub(super) struct Teller {
    pub(super) story: Story,
    pub(super) path: String,
    head: String,
    kind: String,
}

impl Teller {
    pub(super) fn new(name: &str, api_version: &str, kind: &str, plural: &str) -> Self {
        let mut teller =
            Teller { story: Story::for_pods(format!("own/{name}")), path: String::new(), head: String::new(), kind: kind.to_owned() };
        teller.speaks(api_version, plural);
        teller
    }

    /// From here on in this version.
    pub(super) fn speaks(&mut self, api_version: &str, plural: &str) {
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        self.path = format!("{root}/{api_version}/namespaces/$(ns)/{plural}/x");
        self.head = format!(r#""apiVersion":"{api_version}","kind":"{}","metadata""#, self.kind);
    }

    pub(super) fn body(&self, metadata: &str, rest: &str) -> String {
        let metadata = if metadata.is_empty() { String::new() } else { format!(",{metadata}") };
        let rest = if rest.is_empty() { String::new() } else { format!(",{rest}") };
        format!(r#"{{{}:{{"name":"x"{metadata}}}{rest}}}"#, self.head)
    }

    pub(super) fn send(&mut self, what: &str, manager: &str, part: &str, query: &str, body: String) {
        let path = format!("{}{part}?fieldManager={manager}{query}", self.path);
        let name = format!("{} {manager} {what}", self.story.requests.len());
        self.story.add(Request::patch(name, "apply", path, body));
    }

    pub(super) fn apply(&mut self, what: &str, manager: &str, rest: &str) {
        self.send(what, manager, "", "", self.body("", rest));
    }

    pub(super) fn force(&mut self, what: &str, manager: &str, rest: &str) {
        self.send(what, manager, "", "&force=true", self.body("", rest));
    }

    /// Of metadata alone.
    pub(super) fn name(&mut self, what: &str, manager: &str, metadata: &str) {
        self.send(what, manager, "", "", self.body(metadata, ""));
    }

    pub(super) fn status(&mut self, what: &str, manager: &str, rest: &str) {
        self.send(what, manager, "/status", "", self.body("", rest));
    }

    pub(super) fn patch(&mut self, what: &str, kind: &str, manager: &str, body: &str) {
        let name = format!("{} {manager} {what}", self.story.requests.len());
        self.story.add(Request::patch(name, kind, format!("{}?fieldManager={manager}", self.path), body));
    }

    pub(super) fn put(&mut self, what: &str, manager: &str, edits: Vec<Edit>) {
        let name = format!("{} {manager} {what}", self.story.requests.len());
        self.story.add(Request::put_last(name, format!("{}?fieldManager={manager}", self.path), edits));
    }

    pub(super) fn end(mut self) -> Story {
        self.story.add(Request::get("result", self.path));
        self.story
    }
}
