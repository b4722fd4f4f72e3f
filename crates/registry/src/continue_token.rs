//! The opaque token between two pages of one list. Upstream's form, so that its texts about bad tokens hold too.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object::status::Status;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContinueToken {
    /// -1: go on at the latest revision, though pages then do not fit together.
    pub(crate) revision: i64,
    /// The last key of the page before, without the list's prefix.
    pub(crate) after: String,
}

impl ContinueToken {
    pub(crate) fn encode(&self) -> String {
        // Upstream: `start` is the next key that could follow.
        let token = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": format!("{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    pub(crate) fn decode(text: &str) -> Result<Self, Status> {
        let bad = |cause: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {cause}"));
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|e| bad(&e.to_string()))?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()))?;
        if token["v"] != "meta.k8s.io/v1" {
            return Err(bad(&format!("server does not recognize this encoded version {}", token["v"])));
        }
        let revision = token["rv"].as_i64().unwrap_or(0);
        if revision == 0 {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        let start = token["start"].as_str().unwrap_or("");
        if start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)"));
        }
        if start.split('/').any(|part| part == "..") {
            return Err(bad(&format!("{start:?}")));
        }
        Ok(ContinueToken { revision, after: start.trim_end_matches('\0').to_owned() })
    }
}
