//! What is asked: stories of requests, each with a name that stays.
//!
//! Requests of a story stand on each other, so they may speak of earlier answers: `$(uid)`, `$(rv)` and `$(continue)` are those of
//! the last object or list that was answered, `$(rv0)` the first revision, `$(name)` the last object's name, `$(ns)` the story's
//! own namespace.

use sha2::{Digest, Sha256};

/// Requests that belong together, in a namespace of their own.
#[derive(Debug)]
pub struct Story {
    /// `chapter/what`.
    pub name: String,
    pub requests: Vec<Request>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub name: String,
    pub method: &'static str,
    /// With its query.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub payload: Payload,
    /// Whether the body is indented and packed is part of the answer.
    pub has_form: bool,
    /// The reference's informers must have seen what was written before.
    pub is_settled: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    Text(String),
    /// JSON, sent as protobuf.
    Protobuf(String),
    /// The last object that was answered, changed.
    Last(Vec<Edit>),
    /// Bytes that are no text.
    Raw(Vec<u8>),
}

/// Sets what a JSON pointer names, or takes it away.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub pointer: String,
    pub value: Option<serde_json::Value>,
}

impl Edit {
    pub fn set(pointer: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        Edit { pointer: pointer.into(), value: Some(value.into()) }
    }
    pub fn remove(pointer: impl Into<String>) -> Self {
        Edit { pointer: pointer.into(), value: None }
    }
}

impl Request {
    pub fn new(name: impl Into<String>, method: &'static str, path: impl Into<String>, body: impl Into<String>) -> Self {
        let headers = match method {
            "POST" | "PUT" | "DELETE" => vec![("content-type", "application/json".to_owned())],
            _ => Vec::new(),
        };
        Request {
            name: name.into(),
            method,
            path: path.into(),
            headers,
            payload: Payload::Text(body.into()),
            has_form: false,
            is_settled: false,
        }
    }

    pub fn get(name: impl Into<String>, path: impl Into<String>) -> Self {
        Request::new(name, "GET", path, "")
    }

    pub fn patch(name: impl Into<String>, patch: &str, path: impl Into<String>, body: impl Into<String>) -> Self {
        let content_type = match patch {
            "apply" => "application/apply-patch+yaml".to_owned(),
            other => format!("application/{other}-patch+json"),
        };
        Request::new(name, "PATCH", path, body).header("content-type", content_type)
    }

    /// A `PUT` of what was last read, changed.
    pub fn put_last(name: impl Into<String>, path: impl Into<String>, edits: Vec<Edit>) -> Self {
        let mut request = Request::new(name, "PUT", path, "");
        request.payload = Payload::Last(edits);
        request
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn accept(self, value: &str) -> Self {
        self.header("accept", value)
    }

    pub fn with_form(mut self) -> Self {
        self.has_form = true;
        self
    }

    pub fn settled(mut self) -> Self {
        self.is_settled = true;
        self
    }

    /// Changes whenever the request does, so that an old recording is noticed.
    pub fn digest(&self) -> String {
        let text = format!("{} {} {:?} {:?}", self.method, self.path, self.headers, self.payload);
        hex::encode(&Sha256::digest(text.as_bytes())[..4])
    }
}

impl Story {
    pub fn new(name: impl Into<String>) -> Self {
        Story { name: name.into(), requests: Vec::new() }
    }

    /// A story whose namespace is made first.
    pub fn in_namespace(name: impl Into<String>) -> Self {
        let mut story = Story::new(name);
        story.add(Request::new("namespace", "POST", "/api/v1/namespaces", r#"{"metadata":{"name":"$(ns)"}}"#));
        story
    }

    /// As `in_namespace`, with the service account that pods need.
    pub fn for_pods(name: impl Into<String>) -> Self {
        let mut story = Story::in_namespace(name);
        story.add(Request::new("account", "POST", "/api/v1/namespaces/$(ns)/serviceaccounts", r#"{"metadata":{"name":"default"}}"#));
        if let Some(last) = story.requests.last_mut() {
            last.is_settled = true;
        }
        story
    }

    pub fn add(&mut self, request: Request) {
        self.requests.push(request);
    }

    pub fn chapter(&self) -> &str {
        self.name.split('/').next().unwrap_or("")
    }

    /// A DNS label made of the story's name.
    pub fn namespace(&self) -> String {
        let label: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        if label.len() <= 40 {
            label
        } else {
            format!("{}-{}", &label[..30].trim_end_matches('-'), hex::encode(&Sha256::digest(label.as_bytes())[..3]))
        }
    }
}
