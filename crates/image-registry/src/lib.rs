//! The built-in registry: the OCI distribution API in front of this host's image store, in one of two roles.
//!
//! As this host's own: what is pushed here is at once an image of the node, under the name `localhost:<port>/<repository>:<tag>`,
//! with no second copy and no load step. It listens on loopback only and asks for no login: whoever is on this host may push.
//! As a mirror: whatever the store holds of any registry, for reading, to other hosts; clients say with `ns=` which they mean.
//! Specification: OCI distribution 1.1; one upload is one open file. Not here: pulling from others (`oci-image`).

mod answer;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oci_image::{Digest, Error, ImageStore, Manifest, Reference, digest_of, media, streamed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::answer::{Answer, Fault, empty, json, with_header};
use crate::uploads::Uploads;

/// As in the store: no manifest is larger.
const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

pub struct Registry {
    store: ImageStore,
    role: Role,
    uploads: Uploads,
}

enum Role {
    /// `localhost:32000`: the host part of the names that are made here.
    Own { host: String },
    /// Serves names of every host; `Basic …`, when a login is wanted.
    Mirror { authorization: Option<String> },
}

impl Registry {
    pub fn new(store: ImageStore, port: u16) -> Arc<Self> {
        let role = Role::Own { host: format!("localhost:{port}") };
        Arc::new(Registry { uploads: Uploads::new(store.clone()), store, role })
    }

    /// A mirror of every registry the store has images of. With a login (`name:password`) it asks for that.
    pub fn mirror(store: ImageStore, login: Option<&str>) -> Arc<Self> {
        use base64::Engine;
        let role =
            Role::Mirror { authorization: login.map(|login| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))) };
        Arc::new(Registry { uploads: Uploads::new(store.clone()), store, role })
    }

    /// Serves until the listener fails; each connection is a task of its own.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (stream, peer): (_, SocketAddr) = listener.accept().await?;
            let registry = self.clone();
            tokio::spawn(async move {
                if let Err(error) = registry.converse(stream).await {
                    tracing::debug!(%peer, %error, "registry connection ended");
                }
            });
        }
    }

    async fn converse(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) -> hyper::Result<()> {
        let service = service_fn(move |request| {
            let registry = self.clone();
            async move { Ok::<_, std::convert::Infallible>(registry.answer(request).await) }
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let result = self.route(request).await;
        tracing::debug!(%method, path, ok = result.is_ok(), "registry request");
        result.unwrap_or_else(Fault::into_answer)
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Fault> {
        let path = request.uri().path().to_owned();
        let host = match &self.role {
            Role::Own { host } => host.clone(),
            Role::Mirror { authorization } => {
                let given = request.headers().get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
                if authorization.is_some() && authorization.as_deref() != given {
                    return Ok(answer::challenge());
                }
                if !matches!(*request.method(), Method::GET | Method::HEAD) {
                    return Err(Fault::no_such_method());
                }
                uploads::parameter(request.uri().query().unwrap_or(""), "ns").unwrap_or_else(|| "docker.io".to_owned())
            }
        };
        let host = host.as_str();
        let rest = path.strip_prefix("/v2").ok_or_else(Fault::no_such_path)?.trim_start_matches('/').to_owned();
        if rest.is_empty() {
            return Ok(with_header(json(StatusCode::OK, &serde_json::json!({})), "Docker-Distribution-API-Version", "registry/2.0"));
        }
        if rest == "_catalog" {
            return Ok(self.catalog(host));
        }
        if let Some((name, reference)) = split(&rest, "/manifests/") {
            return self.manifests(request, host, name, reference).await;
        }
        if let Some((name, upload)) = split(&rest, "/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads").map(|n| (n, ""))) {
            let name = repository(host, name)?;
            return self.uploads.handle(request, &name, upload).await;
        }
        if let Some((name, digest)) = split(&rest, "/blobs/") {
            repository(host, name)?;
            return self.blobs(request.method(), digest);
        }
        match rest.strip_suffix("/tags/list") {
            Some(name) if request.method() == Method::GET => self.tags(host, name),
            _ => Err(Fault::no_such_path()),
        }
    }

    fn catalog(&self, host: &str) -> Answer {
        let prefix = format!("{host}/");
        let images = self.store.list();
        let mut names: Vec<&str> =
            images.iter().flat_map(|i| &i.names).filter_map(|n| n.strip_prefix(&prefix)?.rsplit_once(':').map(|(n, _)| n)).collect();
        names.sort_unstable();
        names.dedup();
        json(StatusCode::OK, &serde_json::json!({"repositories": names}))
    }

    fn tags(&self, host: &str, name: &str) -> Result<Answer, Fault> {
        let tags = self.store.tags(&format!("{host}/{name}"));
        if tags.is_empty() {
            return Err(Fault::new(404, "NAME_UNKNOWN", format!("repository `{name}` is not known")));
        }
        Ok(json(StatusCode::OK, &serde_json::json!({"name": name, "tags": tags})))
    }

    async fn manifests(&self, request: Request<Incoming>, host: &str, name: &str, reference: &str) -> Result<Answer, Fault> {
        let full = full_name(host, name, reference)?;
        let unknown = || Fault::new(404, "MANIFEST_UNKNOWN", format!("manifest `{reference}` of `{name}` is not known"));
        match *request.method() {
            Method::GET | Method::HEAD => {
                let digest = self.store.resolve(&full).ok_or_else(unknown)?;
                let content = self.store.read_document(&digest).map_err(|_| unknown())?;
                let media_type = media_type_of(&content);
                Ok(answer::document(request.method(), &digest, &media_type, content))
            }
            Method::PUT => {
                let content = http_body_util::Limited::new(request.into_body(), MANIFEST_BYTES_MAX).collect().await;
                let content = content.map_err(|e| Fault::new(400, "MANIFEST_INVALID", e.to_string()))?.to_bytes();
                self.put_manifest(name, full, content.to_vec()).await
            }
            Method::DELETE => match (&full.tag, self.store.untag(&full)) {
                (Some(_), Ok(true)) => Ok(empty(StatusCode::ACCEPTED)),
                (Some(_), Err(error)) => Err(error.into()),
                _ => Err(unknown()),
            },
            _ => Err(Fault::no_such_method()),
        }
    }

    async fn put_manifest(&self, name: &str, reference: Reference, content: Vec<u8>) -> Result<Answer, Fault> {
        let digest = digest_of(&content);
        if reference.digest.as_ref().is_some_and(|d| *d != digest) {
            return Err(Fault::new(400, "DIGEST_INVALID", format!("the manifest has the digest `{digest}`")));
        }
        let store = self.store.clone();
        let kept = digest.clone();
        tokio::task::spawn_blocking(move || keep_manifest(&store, &reference, &content, &kept))
            .await
            .map_err(|e| Fault::new(500, "UNKNOWN", e.to_string()))??;
        let answer = with_header(empty(StatusCode::CREATED), "Location", &format!("/v2/{name}/manifests/{digest}"));
        Ok(with_header(answer, "Docker-Content-Digest", &digest.to_string()))
    }

    fn blobs(&self, method: &Method, digest: &str) -> Result<Answer, Fault> {
        let unknown = || Fault::new(404, "BLOB_UNKNOWN", format!("blob `{digest}` is not known"));
        let digest = Digest::parse(digest).ok_or_else(|| Fault::new(400, "DIGEST_INVALID", format!("`{digest}` is no sha256 digest")))?;
        let size = self.store.blob_size(&digest).ok_or_else(unknown)?;
        match *method {
            Method::HEAD => Ok(answer::blob(&digest, size, answer::no_content())),
            Method::GET => Ok(answer::blob(&digest, size, streamed(self.store.blob_path(&digest)))),
            _ => Err(Fault::no_such_method()),
        }
    }
}

/// Checks a repository's name and answers it.
fn repository(host: &str, name: &str) -> Result<String, Fault> {
    Reference::parse(&format!("{host}/{name}"))
        .map_err(|_| Fault::new(400, "NAME_INVALID", format!("invalid repository name `{name}`")))?;
    Ok(name.to_owned())
}

fn full_name(host: &str, name: &str, reference: &str) -> Result<Reference, Fault> {
    let joint = if reference.contains(':') { '@' } else { ':' };
    Reference::parse(&format!("{host}/{name}{joint}{reference}"))
        .map_err(|_| Fault::new(400, "NAME_INVALID", format!("invalid name `{name}` or reference `{reference}`")))
}

/// Checks that all a manifest names is here, keeps it, unpacks it when it can run on this host, and names it.
fn keep_manifest(store: &ImageStore, reference: &Reference, content: &[u8], digest: &Digest) -> Result<(), Fault> {
    let _adding = store.adding()?;
    let missing = |digest: &Digest| Fault::new(404, "MANIFEST_BLOB_UNKNOWN", format!("blob `{digest}` is not known"));
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(content) {
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            store.blob_size(&blob.digest).ok_or_else(|| missing(&blob.digest))?;
        }
        // Charts and other artifacts use the same envelope; only images have layers to unpack.
        if matches!(manifest.config.media_type.as_str(), media::CONFIG | "application/vnd.docker.container.image.v1+json") {
            store.unpack(&manifest)?;
        }
    } else if let Ok(list) = serde_json::from_slice::<oci_image::ManifestList>(content) {
        for inner in &list.manifests {
            store.blob_size(&inner.digest).ok_or_else(|| missing(&inner.digest))?;
        }
    } else {
        return Err(Fault::new(400, "MANIFEST_INVALID", "neither a manifest nor an index".to_owned()));
    }
    store.put_blob(content)?;
    if reference.tag.is_some() {
        store.tag(reference, digest)?;
    }
    Ok(())
}

fn media_type_of(content: &[u8]) -> String {
    let tree: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
    let default = if tree["manifests"].is_array() { media::INDEX } else { media::MANIFEST };
    tree["mediaType"].as_str().unwrap_or(default).to_owned()
}

/// Repositories have slashes, so the keyword is looked for from the end.
fn split<'a>(path: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    path.rfind(keyword).map(|at| (&path[..at], &path[at + keyword.len()..]))
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Digest { .. } => Fault::new(400, "DIGEST_INVALID", error.to_string()),
            Error::Malformed(..) | Error::Hostile(_) => Fault::new(400, "MANIFEST_INVALID", error.to_string()),
            _ => Fault::new(500, "UNKNOWN", error.to_string()),
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
