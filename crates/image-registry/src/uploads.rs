//! Blobs on their way in: `POST` opens an upload, `PATCH` adds to it, `PUT` closes it with the digest.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use oci_image::{BlobWriter, Digest, ImageStore};

use crate::answer::{Answer, Fault, empty, with_header};

/// Each is an open file; a client that leaves them behind must not take all.
const UPLOADS_MAX: usize = 256;

pub(crate) struct Uploads {
    store: ImageStore,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    counter: u64,
    /// In order of opening, so that the oldest can be dropped. A writer is taken out while a request feeds it.
    uploads: HashMap<u64, Option<BlobWriter>>,
}

impl Uploads {
    pub(crate) fn new(store: ImageStore) -> Self {
        Uploads { store, open: Mutex::default() }
    }

    pub(crate) async fn handle(&self, request: Request<Incoming>, name: &str, upload: &str) -> Result<Answer, Fault> {
        let method = request.method().clone();
        let query = request.uri().query().unwrap_or("").to_owned();
        let digest = parameter(&query, "digest");
        if method == Method::POST {
            // Every blob of this store is everybody's: a mount from another repository is already there.
            let mounted = parameter(&query, "mount").and_then(|d| Digest::parse(&d)).filter(|d| self.store.blob_size(d).is_some());
            if let Some(digest) = mounted {
                return Ok(created(name, &digest));
            }
            let writer = self.store.blob_writer()?;
            return match digest {
                Some(digest) => finish(feed(writer, request).await?, name, &digest),
                None => Ok(accepted(name, self.insert(writer), 0)),
            };
        }
        let unknown = || Fault::new(404, "BLOB_UPLOAD_UNKNOWN", format!("upload `{upload}` is not known"));
        let id: u64 = upload.parse().map_err(|_| unknown())?;
        let writer = self.take(id).ok_or_else(unknown)?;
        match method {
            Method::PATCH => {
                if let Some(start) = range_start(&request).filter(|start| *start != writer.size()) {
                    let size = writer.size();
                    self.put_back(id, writer);
                    return Err(Fault::new(
                        416,
                        "BLOB_UPLOAD_INVALID",
                        format!("the upload has {size} bytes, the chunk begins at {start}"),
                    ));
                }
                let writer = feed(writer, request).await?;
                let size = writer.size();
                self.put_back(id, writer);
                Ok(accepted(name, id, size))
            }
            Method::PUT => {
                let digest = digest.ok_or_else(|| Fault::new(400, "DIGEST_INVALID", "the digest is missing".to_owned()))?;
                let writer = feed(writer, request).await?;
                self.forget(id);
                finish(writer, name, &digest)
            }
            Method::GET => {
                let size = writer.size();
                self.put_back(id, writer);
                let mut answer = accepted(name, id, size);
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Ok(answer)
            }
            Method::DELETE => {
                self.forget(id);
                Ok(empty(StatusCode::NO_CONTENT))
            }
            _ => Err(Fault::no_such_method()),
        }
    }

    fn insert(&self, writer: BlobWriter) -> u64 {
        let mut open = self.open.lock().expect("no holder panics");
        open.counter += 1;
        let id = open.counter;
        if open.uploads.len() >= UPLOADS_MAX {
            if let Some(oldest) = open.uploads.keys().min().copied() {
                open.uploads.remove(&oldest);
            }
        }
        open.uploads.insert(id, Some(writer));
        id
    }

    fn take(&self, id: u64) -> Option<BlobWriter> {
        self.open.lock().expect("no holder panics").uploads.get_mut(&id)?.take()
    }

    fn put_back(&self, id: u64, writer: BlobWriter) {
        if let Some(place) = self.open.lock().expect("no holder panics").uploads.get_mut(&id) {
            *place = Some(writer);
        }
    }

    fn forget(&self, id: u64) {
        self.open.lock().expect("no holder panics").uploads.remove(&id);
    }
}

async fn feed(mut writer: BlobWriter, request: Request<Incoming>) -> Result<BlobWriter, Fault> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Fault::new(400, "BLOB_UPLOAD_INVALID", e.to_string()))?;
        if let Some(data) = frame.data_ref() {
            writer.write_all(data).map_err(|e| Fault::new(500, "UNKNOWN", format!("cannot keep the blob: {e}")))?;
        }
    }
    Ok(writer)
}

fn finish(writer: BlobWriter, name: &str, digest: &str) -> Result<Answer, Fault> {
    let digest = Digest::parse(digest).ok_or_else(|| Fault::new(400, "DIGEST_INVALID", format!("`{digest}` is no sha256 digest")))?;
    writer.commit(Some(&digest))?;
    Ok(created(name, &digest))
}

fn created(name: &str, digest: &Digest) -> Answer {
    let answer = with_header(empty(StatusCode::CREATED), "Location", &format!("/v2/{name}/blobs/{digest}"));
    with_header(answer, "Docker-Content-Digest", &digest.to_string())
}

fn accepted(name: &str, id: u64, size: u64) -> Answer {
    let answer = with_header(empty(StatusCode::ACCEPTED), "Location", &format!("/v2/{name}/blobs/uploads/{id}"));
    let answer = with_header(answer, "Docker-Upload-UUID", &id.to_string());
    with_header(answer, "Range", &format!("0-{}", size.saturating_sub(1)))
}

fn range_start(request: &Request<Incoming>) -> Option<u64> {
    request.headers().get("Content-Range")?.to_str().ok()?.trim_start_matches("bytes ").split('-').next()?.parse().ok()
}

pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/").replace("%2f", "/"))
}
