//! `/openapi/v3`: the index, and a document a group-version, each made when it is first asked for and kept compressed.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::{HeaderValue, Response, header};
use kinds::Catalog;
use object::status::Status;
use sha2::{Digest, Sha256};

use crate::body::Body;
use crate::call::Call;
use crate::negotiate::Format;
use crate::{answer, compress};

/// Compressed documents by path: 84 KB in all for the built-in kinds.
#[derive(Default)]
pub(crate) struct Documents {
    kept: Mutex<HashMap<String, Bytes>>,
}

impl Documents {
    /// `path` is what follows `/openapi/v3`, without slashes around it.
    pub(crate) fn answer(&self, catalog: &Catalog, path: &str, call: &Call) -> Result<Option<Response<Body>>, Status> {
        if path.is_empty() {
            let index = codec::openapi::index(catalog, &|path| hash(catalog, path));
            return Ok(Some(answer::tree(200, &index, Format::Json)));
        }
        if !codec::openapi::document_paths(catalog).iter().any(|known| known == path) {
            return Ok(None);
        }
        let hash = hash(catalog, path);
        let etag = HeaderValue::from_str(&format!("\"{hash}\"")).map_err(Status::internal)?;
        let asked = call.query.get("hash").unwrap_or("");
        if !asked.is_empty() && asked != hash {
            let mut response = answer::response(301, Format::Json, Body::empty());
            let there = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={hash}")).map_err(Status::internal)?;
            response.headers_mut().insert(header::LOCATION, there);
            return Ok(Some(response));
        }
        let mut response = if call.headers.get(header::IF_NONE_MATCH) == Some(&etag) {
            answer::response(304, Format::Json, Body::empty())
        } else {
            self.whole(catalog, path, compress::is_accepted(call))?
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if !asked.is_empty() {
            // The hash names this very document, so it may be kept for good.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        }
        Ok(Some(response))
    }

    fn whole(&self, catalog: &Catalog, path: &str, as_gzip: bool) -> Result<Response<Body>, Status> {
        let packed = self.packed(catalog, path)?;
        if !as_gzip {
            let mut plain = Vec::new();
            GzDecoder::new(&packed[..]).read_to_end(&mut plain).map_err(Status::internal)?;
            return Ok(answer::response(200, Format::Json, Body::whole(plain)));
        }
        let mut response = answer::response(200, Format::Json, Body::whole(packed));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Ok(response)
    }

    fn packed(&self, catalog: &Catalog, path: &str) -> Result<Bytes, Status> {
        if let Some(packed) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(packed.clone());
        }
        let document = codec::openapi::document(catalog, path, &codec::openapi::NoDescriptions).ok_or_else(Status::no_such_path)?;
        let text = serde_json::to_vec(&document).map_err(Status::internal)?;
        let mut packed = Vec::new();
        GzEncoder::new(&text[..], Compression::default()).read_to_end(&mut packed).map_err(Status::internal)?;
        let packed = Bytes::from(packed);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), packed.clone());
        Ok(packed)
    }
}

/// Names the state of a document without making it: the program's version and what is served there.
fn hash(catalog: &Catalog, path: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(path);
    for resource in catalog.resources.iter().filter(|r| path.ends_with(&r.version)) {
        digest.update(&resource.plural);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
}
