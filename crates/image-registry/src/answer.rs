//! Answers and faults in the specification's form.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use oci_image::Digest;
use serde_json::Value;

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;
pub(crate) type Answer = Response<Body>;

/// `{"errors": [{"code", "message"}]}` and a status.
#[derive(Debug)]
pub(crate) struct Fault {
    status: u16,
    code: &'static str,
    message: String,
}

impl Fault {
    pub(crate) fn new(status: u16, code: &'static str, message: String) -> Self {
        Fault { status, code, message }
    }
    pub(crate) fn no_such_path() -> Self {
        Fault::new(404, "UNSUPPORTED", "no such path".to_owned())
    }
    pub(crate) fn no_such_method() -> Self {
        Fault::new(405, "UNSUPPORTED", "the operation is unsupported".to_owned())
    }
    pub(crate) fn into_answer(self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(status, &serde_json::json!({"errors": [{"code": self.code, "message": self.message}]}))
    }
}

pub(crate) fn no_content() -> Body {
    body(Vec::new())
}

fn body(content: Vec<u8>) -> Body {
    Full::new(Bytes::from(content)).map_err(|never| match never {}).boxed()
}

pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(no_content());
    *answer.status_mut() = status;
    answer
}

pub(crate) fn json(status: StatusCode, tree: &Value) -> Answer {
    let mut answer = Response::new(body(tree.to_string().into_bytes()));
    *answer.status_mut() = status;
    with_header(answer, "Content-Type", "application/json")
}

/// Asks for name and password.
pub(crate) fn challenge() -> Answer {
    let fault = Fault::new(401, "UNAUTHORIZED", "authentication required".to_owned());
    with_header(fault.into_answer(), "WWW-Authenticate", "Basic realm=\"coracle\"")
}

pub(crate) fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(http::HeaderName::from_bytes(name.as_bytes()).expect("a literal header name"), value);
    }
    answer
}

pub(crate) fn document(method: &Method, digest: &Digest, media_type: &str, content: Vec<u8>) -> Answer {
    let length = content.len().to_string();
    let answer = Response::new(if method == Method::HEAD { no_content() } else { body(content) });
    let answer = with_header(with_header(answer, "Content-Type", media_type), "Content-Length", &length);
    with_header(answer, "Docker-Content-Digest", &digest.to_string())
}

pub(crate) fn blob(digest: &Digest, size: u64, body: Body) -> Answer {
    let answer = with_header(Response::new(body), "Content-Type", "application/octet-stream");
    with_header(with_header(answer, "Content-Length", &size.to_string()), "Docker-Content-Digest", &digest.to_string())
}
