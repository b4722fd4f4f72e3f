//! `/openapi/v2`, one document, and `/openapi/v3`, an index and a document a group-version: each made when it is first asked
//! for, as JSON or protobuf, and kept compressed.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{LazyLock, Mutex, PoisonError};

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

/// What stands in for a path of v3 where the v2 document is meant.
const V2: &str = "v2";

/// Compressed documents by path and form.
#[derive(Default)]
pub(crate) struct Documents {
    kept: Mutex<HashMap<(String, Form), Bytes>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Json,
    Protobuf,
}

impl Form {
    /// The first accepted one that there is. Upstream's clients write an `@` where media types allow none.
    fn wanted(accept: Option<&str>, version: &str) -> Option<Form> {
        let accept = accept.unwrap_or("*/*");
        accept.split(',').find_map(|clause| match clause.split(';').next().unwrap_or("").trim() {
            "*/*" | "application/*" | "application/json" => Some(Form::Json),
            media => (media.replace('@', ".") == protobuf_type(version)).then_some(Form::Protobuf),
        })
    }
}

fn protobuf_type(version: &str) -> String {
    format!("application/com.github.proto-openapi.spec.{version}.v1.0+protobuf")
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
        self.versioned(catalog, path, "v3", call)
    }

    pub(crate) fn answer_v2(&self, catalog: &Catalog, call: &Call) -> Result<Option<Response<Body>>, Status> {
        self.versioned(catalog, V2, V2, call)
    }

    fn versioned(&self, catalog: &Catalog, path: &str, version: &str, call: &Call) -> Result<Option<Response<Body>>, Status> {
        let Some(form) = Form::wanted(call.header(header::ACCEPT), version) else {
            let mut response = answer::text(406, "");
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
            return Ok(Some(response));
        };
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
            self.whole(catalog, path, form, compress::is_accepted(call))?
        };
        let headers = response.headers_mut();
        if form == Form::Protobuf {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(&protobuf_type(version)).map_err(Status::internal)?);
        }
        headers.insert(header::ETAG, etag);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if !asked.is_empty() {
            // The hash names this very document, so it may be kept for good.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        }
        Ok(Some(response))
    }

    fn whole(&self, catalog: &Catalog, path: &str, form: Form, as_gzip: bool) -> Result<Response<Body>, Status> {
        let packed = self.packed(catalog, path, form)?;
        if !as_gzip {
            let mut plain = Vec::new();
            GzDecoder::new(&packed[..]).read_to_end(&mut plain).map_err(Status::internal)?;
            return Ok(answer::response(200, Format::Json, Body::whole(plain)));
        }
        let mut response = answer::response(200, Format::Json, Body::whole(packed));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Ok(response)
    }

    fn packed(&self, catalog: &Catalog, path: &str, form: Form) -> Result<Bytes, Status> {
        let key = (path.to_owned(), form);
        if let Some(packed) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(packed.clone());
        }
        let descriptions = descriptions::Upstream::unpack();
        let document = if path == V2 {
            codec::openapi::document_v2(catalog, &descriptions)
        } else {
            codec::openapi::document(catalog, path, &descriptions).ok_or_else(Status::no_such_path)?
        };
        let plain = match form {
            Form::Json => serde_json::to_vec(&document).map_err(Status::internal)?,
            Form::Protobuf => codec::openapi::to_protobuf(&document),
        };
        let mut packed = Vec::new();
        GzEncoder::new(&plain[..], Compression::default()).read_to_end(&mut packed).map_err(Status::internal)?;
        let packed = Bytes::from(packed);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(key, packed.clone());
        Ok(packed)
    }
}

/// What documents are made of: program, facts, sentences. Clients keep a document for a year, so each must tell in its hash.
static SOURCES: LazyLock<Sha256> = LazyLock::new(|| {
    let program = Sha256::new_with_prefix(env!("CARGO_PKG_VERSION"));
    kinds::FACTS.into_iter().fold(program, Sha256::chain_update).chain_update(descriptions::PACKED)
});

/// Names the state of a document without making it.
fn hash(catalog: &Catalog, path: &str) -> String {
    let mut digest = SOURCES.clone();
    digest.update(path);
    for resource in catalog.resources.iter().filter(|r| path == V2 || path.ends_with(&r.version)) {
        digest.update(&resource.plural);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn what_clients_ask_for() {
        let v2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        let check = |accept: Option<&str>, version: &str, form: Option<&str>| {
            let wanted = Form::wanted(accept, version).map(|form| if form == Form::Json { "json" } else { "protobuf" });
            assert_eq!(wanted, form, "{accept:?}");
        };
        check(None, "v2", Some("json"));
        check(Some("*/*"), "v3", Some("json"));
        check(Some(v2), "v2", Some("protobuf"));
        check(Some(v2), "v3", None);
        check(Some("application/com.github.proto-openapi.spec.v3.v1.0+protobuf;q=1"), "v3", Some("protobuf"));
        check(Some("text/html, application/json"), "v2", Some("json"));
        check(Some("text/plain"), "v2", None);
    }
}
