//! `Client`: requests by path, answers as trees or typed views.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use object::Value;
use object::plan::{DeleteOptions, PatchKind};
use object::status::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::options::{content_type, patch_query};
use crate::transport::{Body, Error, Transport};

/// As long as the server itself allows a request to take (upstream: `--request-timeout` 1m0s).
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// A list of 10,000 large pods is 100 MB; what is larger is no answer of ours.
const ANSWER_BYTES_MAX: usize = 1 << 30;

#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user_agent: HeaderValue,
}

impl Client {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Client { transport, user_agent: HeaderValue::from_static("coracle") }
    }

    /// The server derives the field manager of plain writes from the part before the slash.
    pub fn with_user_agent(&self, name: &'static str) -> Self {
        Client { transport: Arc::clone(&self.transport), user_agent: HeaderValue::from_static(name) }
    }

    /// Sends a request as it is and hands back a successful answer, whose body is still under way.
    pub async fn send(&self, mut request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let what = format!("{} {}", request.method(), request.uri().path());
        let response = tokio::time::timeout(REQUEST_TIME_MAX, self.transport.send(request))
            .await
            .map_err(|_| Error::transport(format!("{what}: no answer within {}s", REQUEST_TIME_MAX.as_secs())))??;
        if response.status().is_success() || response.status().is_informational() {
            return Ok(response);
        }
        let code = response.status();
        let body = collect(&what, response.into_body()).await?;
        let status = serde_json::from_slice(&body).ok().and_then(|value| Status::from_value(&value));
        Err(Error::Status(status.unwrap_or_else(|| {
            Status::new(code.as_u16(), "", format!("{what}: {code}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])))
        })))
    }

    /// Sends and reads the whole answer.
    pub async fn call<T: DeserializeOwned>(&self, request: http::Request<Bytes>) -> Result<T, Error> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let response = self.send(request).await?;
        let body = collect(&what, response.into_body()).await?;
        serde_json::from_slice(&body).map_err(|e| Error::caused(format!("{what}: cannot read the answer"), e))
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.get_as(path, "application/json").await
    }

    /// `accept` is the media type asked for, such as the one of partial metadata.
    pub async fn get_as<T: DeserializeOwned>(&self, path: &str, accept: &'static str) -> Result<T, Error> {
        let mut request = request(Method::GET, path, None, Bytes::new())?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        self.call(request).await
    }

    pub async fn create<T: DeserializeOwned>(&self, path: &str, object: &impl Serialize) -> Result<T, Error> {
        self.call(request(Method::POST, path, Some("application/json"), encoded(object)?)?).await
    }

    pub async fn update<T: DeserializeOwned>(&self, path: &str, object: &impl Serialize) -> Result<T, Error> {
        self.call(request(Method::PUT, path, Some("application/json"), encoded(object)?)?).await
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &str, kind: PatchKind, patch: &Value) -> Result<T, Error> {
        let path = format!("{path}{}", patch_query(kind).as_str());
        self.call(request(Method::PATCH, &path, Some(content_type(kind)), encoded(patch)?)?).await
    }

    /// Answers the object as it was last, or a `Status` that names it.
    pub async fn delete(&self, path: &str, options: &DeleteOptions) -> Result<Value, Error> {
        self.call(request(Method::DELETE, path, Some("application/json"), encoded(&options.to_value())?)?).await
    }
}

pub(crate) fn request(method: Method, path: &str, content_type: Option<&'static str>, body: Bytes) -> Result<http::Request<Bytes>, Error> {
    let mut request = http::Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    request.body(body).map_err(|e| Error::caused(format!("`{path}` is no request path"), e))
}

fn encoded(object: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(object).map(Bytes::from).map_err(|e| Error::caused("cannot encode the request", e))
}

async fn collect(what: &str, body: Body) -> Result<Bytes, Error> {
    let whole = tokio::time::timeout(REQUEST_TIME_MAX, Limited::new(body, ANSWER_BYTES_MAX).collect());
    match whole.await {
        Err(_) => Err(Error::transport(format!("{what}: the answer did not end within {}s", REQUEST_TIME_MAX.as_secs()))),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Error::transport(format!("{what}: the answer is over {ANSWER_BYTES_MAX} bytes"))),
        Ok(Err(e)) => Err(Error::caused(format!("{what}: the answer broke off"), e)),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}
