//! A line to the reference's etcd, past its API server: what today's rules would refuse can be stored through it.
//!
//! Speaks the JSON gateway of etcd over plain HTTP/1.0, one request a connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) struct Etcd {
    /// `127.0.0.1:7444`
    pub(super) address: String,
}

impl Etcd {
    /// The key that was written last at this revision.
    pub(super) async fn key_at(&self, revision: &str) -> Result<String, String> {
        let question = json!({
            "key": STANDARD.encode("/registry/"), "range_end": STANDARD.encode("/registry0"), "keys_only": true,
            "min_mod_revision": revision, "max_mod_revision": revision,
        });
        let answer = self.ask("range", &question).await?;
        let key = answer["kvs"][0]["key"].as_str().ok_or_else(|| format!("nothing was written at {revision}: {answer}"))?;
        Ok(key.to_owned())
    }

    /// `key` as `key_at` gave it.
    pub(super) async fn put(&self, key: &str, object: &Value) -> Result<(), String> {
        self.ask("put", &json!({"key": key, "value": STANDARD.encode(object.to_string())})).await.map(drop)
    }

    async fn ask(&self, what: &str, question: &Value) -> Result<Value, String> {
        let failed = |e: std::io::Error| format!("ask etcd at {}: {e}", self.address);
        let mut stream = TcpStream::connect(&self.address).await.map_err(failed)?;
        let body = question.to_string();
        let request = format!("POST /v3/kv/{what} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(failed)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("etcd answers no HTTP")?;
        if !head.contains(" 200 ") {
            return Err(format!("etcd refuses: {body}"));
        }
        serde_json::from_str(body).map_err(|e| format!("etcd answers {body}: {e}"))
    }
}
