//! The opaque token between two pages of one list. Upstream's form, so that its texts about bad tokens hold too.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use object::status::Status;
use serde_json::Value;

/// Go takes bits that are left over at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

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
        let start = Value::from(format!("/{}\0", self.after));
        BASE64.encode(format!(r#"{{"v":"meta.k8s.io/v1","rv":{},"start":{start}}}"#, self.revision))
    }

    pub(crate) fn decode(text: &str) -> Result<Self, Status> {
        let bad = |cause: &str| Status::bad_request(format!("invalid continue token: continue key is not valid{cause}"));
        let bytes = BASE64.decode(text).map_err(|_| bad(&format!(": illegal base64 data at input byte {}", first_bad(text))))?;
        let token = match codec::json::parse(&bytes) {
            Ok(parsed) => parsed.value,
            Err(e) => return Err(bad(&format!(": {}", codec::json_fault::find(&bytes).unwrap_or_else(|| e.to_string())))),
        };
        if let Some(fault) = mistyped(&token) {
            return Err(bad(&format!(": json: cannot unmarshal {fault}")));
        }
        let version = token["v"].as_str().unwrap_or("");
        if version != "meta.k8s.io/v1" {
            return Err(bad(&format!(": server does not recognize this encoded version {version}")));
        }
        let revision = token["rv"].as_i64().unwrap_or(0);
        if revision == 0 {
            return Err(bad(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        let start = token["start"].as_str().unwrap_or("");
        if start.is_empty() {
            return Err(bad(": encoded start key empty (version meta.k8s.io/v1)"));
        }
        // Nothing leads out of the list's own keys.
        let key = start.strip_prefix('/').unwrap_or(start);
        if !key.is_empty() && key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(bad(&format!(": {start}")));
        }
        Ok(ContinueToken { revision, after: key.trim_end_matches('\0').to_owned() })
    }
}

/// Where Go's decoder stops.
fn first_bad(text: &str) -> usize {
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    text.bytes().position(|c| !is_letter(c)).unwrap_or(text.len() / 4 * 4)
}

/// What Go's decoder says of a member that is not of its type.
fn mistyped(token: &Value) -> Option<String> {
    let Value::Object(members) = token else {
        return (!token.is_null()).then(|| format!("{} into Go value of type storage.continueToken", codec::json::kind_of(token)));
    };
    let members = members.iter().filter(|(_, value)| !value.is_null());
    members.filter_map(|(name, value)| mistyped_member(name, value)).next()
}

fn mistyped_member(name: &str, value: &Value) -> Option<String> {
    let (is_good, wanted) = match name {
        "v" | "start" => (value.is_string(), "string"),
        "rv" => (value.is_i64(), "int64"),
        _ => return None,
    };
    let found = match value {
        Value::Number(n) if name == "rv" => format!("number {n}"),
        other => codec::json::kind_of(other).to_owned(),
    };
    (!is_good).then(|| format!("{found} into Go struct field continueToken.{name} of type {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_as_upstreams() {
        let token = ContinueToken { revision: 352, after: "a1".to_owned() };
        assert_eq!(token.encode(), "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MzUyLCJzdGFydCI6Ii9hMVx1MDAwMCJ9");
        assert_eq!(ContinueToken::decode(&token.encode()), Ok(token));
    }

    #[test]
    fn bad_ones_are_told_in_upstreams_words() {
        let check = |json: &str, expected: &str| {
            let refusal = ContinueToken::decode(&BASE64.encode(json)).map_err(|e| e.message);
            assert_eq!(refusal, Err(format!("invalid continue token: continue key is not valid: {expected}")), "{json}");
        };
        check(r#"{"v":1}"#, "json: cannot unmarshal number into Go struct field continueToken.v of type string");
        check(r#"{"v":"x","rv":1}"#, "server does not recognize this encoded version x");
        check(
            r#"{"v":"meta.k8s.io/v1","rv":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go struct field continueToken.rv of type int64",
        );
        check(r#"{"v":"meta.k8s.io/v1","rv":1}"#, "encoded start key empty (version meta.k8s.io/v1)");
        check(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"/a//b"}"#, "/a//b");
        check(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../b"}"#, "../b");
        check("[]", "json: cannot unmarshal array into Go value of type storage.continueToken");
        check("null", "server does not recognize this encoded version ");
        check("nothing", "invalid character 'o' in literal null (expecting 'u')");
        for (text, at) in [("!!", 0), ("ab==", 2), ("a", 0)] {
            let refusal = ContinueToken::decode(text).expect_err("no base64").message;
            assert!(refusal.ends_with(&format!(": illegal base64 data at input byte {at}")), "{refusal}");
        }
    }
}
