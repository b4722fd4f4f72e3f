//! Paths that name no object: discovery, version, health, metrics, keys.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use object::Value;
use object::status::Status;
use serde_json::json;

use crate::body::Body;
use crate::call::Call;
use crate::negotiate::{self, Format, wants_aggregated};
use crate::resources::no_such_method;
use crate::{ApiServer, answer, discovery, health, version};

impl ApiServer {
    /// `None`: no such path.
    pub(crate) fn document(&self, call: &Call) -> Result<Option<Response<Body>>, Status> {
        let path = call.info.path.trim_end_matches('/');
        let catalog = self.registry.catalog();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        // Upstream: these have routes of a method each, everything else takes any.
        let is_routed = matches!(parts.as_slice(), ["version" | "api" | ".well-known" | "openid", ..] | ["apis", _, _]);
        if is_routed && call.method != Method::GET {
            let is_there = match parts.as_slice() {
                ["api", version] => discovery::resources(&catalog, "", version).is_some(),
                ["apis", group, version] => discovery::resources(&catalog, group, version).is_some(),
                ["version"] | ["api"] | [".well-known", "openid-configuration"] | ["openid", "v1", "jwks"] => true,
                _ => false,
            };
            return if is_there { Err(no_such_method()) } else { Ok(None) };
        }
        let value = match parts.as_slice() {
            [""] => discovery::paths(&catalog, &other_paths()),
            ["version"] => version::document(),
            ["api" | "apis"] => return self.discovery_root(call, parts[0] == "api").map(Some),
            ["api", version] => match discovery::resources(&catalog, "", version) {
                Some(list) => list,
                None => return Ok(None),
            },
            ["apis", group] => match discovery::group(&catalog, group) {
                Some(value) => value,
                None => return Ok(None),
            },
            ["apis", group, version] => match discovery::resources(&catalog, group, version) {
                Some(list) => list,
                None => return Ok(None),
            },
            ["healthz" | "livez" | "readyz", ..] => {
                let rest = path.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
                return Ok(Some(health::answer(self, parts[0], rest, &call.query)));
            }
            ["openapi", "v2"] => return self.openapi.answer_v2(&catalog, call),
            ["openapi", "v3", ..] => {
                let rest = path.trim_start_matches("/openapi/v3").trim_start_matches('/');
                return self.openapi.answer(&catalog, rest, call);
            }
            ["metrics"] => {
                return Ok(Some(metrics_response(self.metrics.text(&catalog, self.registry.store()))));
            }
            [".well-known", "openid-configuration"] => self.openid_configuration(),
            ["openid", "v1", "jwks"] => return Ok(Some(jwks_response(&self.jwks()))),
            _ => return Ok(None),
        };
        let format = match parts.as_slice() {
            ["api", _] | ["apis", _, _] => call.wanted(false)?.format,
            ["apis", _] => call.wanted(false).map_err(|_| negotiate::unacceptable())?.format,
            _ => call.wanted(false).map_or(Format::Json, |w| w.format),
        };
        Ok(Some(answer::tree(200, &value, format)))
    }

    fn discovery_root(&self, call: &Call, is_core: bool) -> Result<Response<Body>, Status> {
        let catalog = self.registry.catalog();
        let Some(format) = wants_aggregated(call.header(header::ACCEPT)) else {
            // Upstream: the router knows what core can be read as, and refuses the rest itself.
            let format = call.wanted(false).map_err(|refusal| if is_core { refusal } else { negotiate::unacceptable() })?.format;
            let value = if is_core { discovery::core_versions(&self.address) } else { discovery::groups(&catalog) };
            let mut response = answer::tree(200, &value, format);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
            return Ok(response);
        };
        let document = discovery::aggregated(&catalog, is_core);
        let text: Bytes = serde_json::to_vec(&document).map_err(Status::internal)?.into();
        let etag = discovery::etag(&text);
        let text = if format == Format::Yaml { codec::yaml::write(&document).into() } else { text };
        let mut response = if call.header(header::IF_NONE_MATCH) == Some(etag.as_str()) {
            let mut response = answer::response(304, format, Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            answer::response(200, format, Body::whole(text))
        };
        let media_type = format!("{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", format.media_type());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(&media_type).map_err(Status::internal)?);
        headers.insert(header::ETAG, HeaderValue::from_str(&etag).map_err(Status::internal)?);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        Ok(response)
    }

    fn openid_configuration(&self) -> Value {
        let issuer = self.tokens.issuer();
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    fn jwks(&self) -> Value {
        let key = self.tokens.key();
        let (x, y) = key.jwk_coordinates();
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": key.id(), "crv": "P-256", "alg": "ES256", "x": x, "y": y}]})
    }
}

fn metrics_response(text: String) -> Response<Body> {
    let mut response = answer::text(200, text);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

fn jwks_response(keys: &Value) -> Response<Body> {
    let mut response = answer::tree(200, keys, Format::Json);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response
}

fn other_paths() -> Vec<String> {
    let fixed = [
        "/.well-known/openid-configuration",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    fixed.iter().map(|p| (*p).to_owned()).collect()
}
