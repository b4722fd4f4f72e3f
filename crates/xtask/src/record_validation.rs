//! `cargo xtask record-validation`: what a real kube-apiserver says of faulty objects, as golden lines for `strategies`.
//!
//! A golden file (`crates/strategies/golden/validation/*.jsonl`) is lines of three sorts. A *seed* (`path`, `send`, perhaps `status` and
//! `puts`) is written by hand: a whole, valid object. All others are written here, anew each time: an *old* object as it came out of
//! the create, which updates start from, and *cases*: put a value at a place (none: take away what is there), and what the answer is.
//! A case has `want`, the causes of a refusal, or else `then`, what came out differently from what was put. Answers that are no
//! validation (a body that cannot be read, a forbidden request) are left out. Everything but the seed's own create is a dry run.
//! A *kept* line is about a fault that is stored already (`kept`).
//! The server runs without the admission that completes pods and nodes, which is not asked about:
//! `--disable-admission-plugins=DefaultTolerationSeconds,TaintNodesByCondition,Priority,ServiceAccount`; and with
//! `--enable-priority-and-fairness=false`, whose controller ends the server when it reads a faulty level from the store.

mod etcd;
mod faulty;
mod kept;
mod masks;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{Client, Error};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use http_body_util::BodyExt;
use kinds::Resource;
use serde_json::{Map, Value, json};

use etcd::Etcd;
use faulty::Put;

/// Enough to keep the server busy; its answers are slower than our questions.
const REQUESTS_AT_ONCE: usize = 12;
/// Longer causes keep their ends: what they show of a value in between is not worth the room.
const CAUSE_LEN_MAX: usize = 400;
const CAUSE_END_LEN: usize = 180;

/// `etcd` is where the server's own store listens, as `host:port`.
pub(crate) fn run(kubeconfig: &Path, etcd: &str, files: &[&str]) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies/golden/validation");
    let target = client::kubeconfig::read(kubeconfig, None).map_err(|e| format!("read the kubeconfig: {}", chain(&e)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| format!("start a runtime: {e}"))?;
    runtime.block_on(async {
        let remote = client::remote::Remote::new(target).map_err(|e| format!("connect: {}", chain(&e)))?;
        let began = object::time::Clock::system().now().strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let reference = Reference { client: Client::new(Arc::new(remote)), etcd: Etcd { address: etcd.to_owned() }, began };
        reference.prepare().await?;
        for file in golden_files(&folder, files)? {
            record_file(&reference, &file).await?;
        }
        Ok(())
    })
}

fn golden_files(folder: &Path, wanted: &[&str]) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("list {}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        file.extension().is_some_and(|ending| ending == "jsonl") && (wanted.is_empty() || wanted.contains(&stem))
    });
    files.sort();
    Ok(files)
}

async fn record_file(reference: &Reference, file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|e| format!("read {}: {e}", file.display()))?;
    let mut out = String::new();
    let mut n_cases = 0;
    for line in text.lines() {
        let seed: Value = serde_json::from_str(line).map_err(|e| format!("parse {}: {e}", file.display()))?;
        if !seed["send"].is_object() {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        let cases = record_seed(reference, &seed).await.map_err(|e| format!("{}: {e}", seed["path"]))?;
        n_cases += cases.len();
        for case in cases {
            out.push_str(&faulty::shortened(&masks::masked_text(&case.to_string(), &reference.began)));
            out.push('\n');
        }
    }
    fs::write(file, out).map_err(|e| format!("write {}: {e}", file.display()))?;
    println!("{}: {n_cases} lines", file.display());
    Ok(())
}

async fn record_seed(reference: &Reference, seed: &Value) -> Result<Vec<Value>, String> {
    let path = seed["path"].as_str().unwrap_or("");
    let resource = resource_of(path).ok_or("no such resource")?;
    let name = seed["send"]["metadata"]["name"].as_str().ok_or("a seed has a name")?;
    let object_path = format!("{path}/{name}");
    reference.delete(&object_path).await;
    let base = reference.dry(Method::POST, path, &seed["send"]).await?;
    let base = base.into_object().map_err(|e| format!("the seed is refused: {e}"))?;

    let mut puts = faulty::puts(resource, &seed["send"], &faulty::Part::Create);
    puts.extend(by_hand(seed, "create"));
    let mut lines = reference.cases(Method::POST, path, &seed["send"], &base, puts).await?;

    reference.really(Method::POST, path, &seed["send"]).await?;
    let old = reference.with_status(&object_path, seed).await?;
    lines.push(json!({"old": reference.masked(&old)?}));
    if resource.has_verb("update") {
        let mut puts = faulty::puts(resource, &old, &faulty::Part::Update);
        puts.extend(by_hand(seed, "update"));
        lines.extend(reference.cases(Method::PUT, &object_path, &old, &old, puts).await?);
    }
    for subresource in ["status", "approval", "finalize", "resize", "ephemeralcontainers"] {
        let Some(under) = part_of(seed, resource, subresource) else { continue };
        let mut puts = faulty::puts(resource, &old, &faulty::Part::Under(under));
        puts.extend(by_hand(seed, subresource));
        let path = format!("{object_path}/{subresource}");
        let cases = reference.cases(Method::PUT, &path, &old, &old, puts).await?;
        lines.extend(cases.into_iter().map(|mut case| {
            case["sub"] = json!(subresource);
            case
        }));
    }
    if resource.has_verb("update") {
        lines.extend(kept::record(reference, resource, &object_path, &old, &lines).await?);
    }
    reference.delete(&object_path).await;
    Ok(lines)
}

/// Which field a subresource is about; `parts` of a seed says so where it is not the obvious one.
fn part_of<'a>(seed: &'a Value, resource: &Resource, subresource: &'a str) -> Option<&'a str> {
    resource.subresource(subresource)?;
    match (seed["parts"][subresource].as_str(), subresource) {
        (Some(part), _) => Some(part),
        (None, "status" | "approval") => Some("status"),
        (None, "finalize") => Some("spec"),
        _ => None,
    }
}

/// `puts` of a seed: `{"create": [[PLACE, VALUE], ...], "update": ..., "status": ...}`; a place without a value is emptied.
fn by_hand(seed: &Value, verb: &str) -> Vec<Put> {
    let list = seed["puts"][verb].as_array().into_iter().flatten();
    list.filter_map(|put| Some(Put { at: put[0].as_array()?.clone(), value: put.get(1).cloned() })).collect()
}

fn resource_of(path: &str) -> Option<&'static Resource> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = if parts[0] == "api" { ("", parts[1], &parts[2..]) } else { (parts[1], parts[2], &parts[3..]) };
    kinds::builtin().resource(group, version, rest.last()?).map(|resource| &**resource)
}

struct Reference {
    client: Client,
    etcd: Etcd,
    began: String,
}

enum Answer {
    Fine { object: Value, warnings: Vec<String> },
    Faulty { causes: Vec<Value> },
    Other(String),
}

impl Answer {
    fn into_object(self) -> Result<Value, String> {
        match self {
            Answer::Fine { object, .. } => Ok(object),
            Answer::Faulty { causes } => Err(Value::Array(causes).to_string()),
            Answer::Other(message) => Err(message),
        }
    }
}

impl Reference {
    /// What a controller manager would make: the account that pods of the default namespace run as.
    async fn prepare(&self) -> Result<(), String> {
        let account = json!({"metadata": {"name": "default"}});
        match self.client.create::<Value>("/api/v1/namespaces/default/serviceaccounts", &account).await {
            Ok(_) => Ok(()),
            Err(e) if e.is_already_exists() => Ok(()),
            Err(e) => Err(format!("make the default service account: {}", chain(&e))),
        }
    }

    async fn cases(&self, method: Method, path: &str, sent: &Value, base: &Value, puts: Vec<Put>) -> Result<Vec<Value>, String> {
        let asked = puts.into_iter().map(|put| self.case(method.clone(), path, sent, base, put));
        let cases: Vec<Option<Value>> = stream::iter(asked).buffered(REQUESTS_AT_ONCE).try_collect().await?;
        let mut seen = HashSet::new();
        Ok(cases.into_iter().flatten().filter(|case| seen.insert(without_values(case))).collect())
    }

    async fn case(&self, method: Method, path: &str, sent: &Value, base: &Value, put: Put) -> Result<Option<Value>, String> {
        let mut object = sent.clone();
        put.apply(&mut object);
        let mut case = put.to_value();
        let warnings = match self.dry(method.clone(), path, &object).await? {
            Answer::Other(_) => return Ok(None),
            Answer::Faulty { causes } => {
                if causes.len() > 1 && self.is_unordered(method, path, &object, &causes).await? {
                    case["unordered"] = json!(true);
                }
                case["want"] = Value::Array(causes.into_iter().map(cut).collect());
                Vec::new()
            }
            Answer::Fine { object: got, warnings } => {
                let mut wanted = base.clone();
                put.apply(&mut wanted);
                let (mut changes, mut place) = (Vec::new(), Vec::new());
                changes_between(&self.masked(&wanted)?, &self.masked(&got)?, &mut place, &mut changes);
                if !changes.is_empty() {
                    case["then"] = Value::Array(changes);
                }
                warnings
            }
        };
        if !warnings.is_empty() {
            case["warn"] = json!(warnings);
        }
        Ok(Some(case))
    }

    /// Go's maps have no order: whether the same question has been answered in another one.
    async fn is_unordered(&self, method: Method, path: &str, object: &Value, causes: &[Value]) -> Result<bool, String> {
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            if let Answer::Faulty { causes: again } = self.dry(method.clone(), path, object).await?
                && again != causes
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn dry(&self, method: Method, path: &str, object: &Value) -> Result<Answer, String> {
        self.ask(method, &format!("{path}?dryRun=All"), object).await
    }

    async fn really(&self, method: Method, path: &str, object: &Value) -> Result<Value, String> {
        let answer = self.ask(method, path, object).await?;
        answer.into_object().map_err(|e| format!("the seed cannot be written to {path}: {e}"))
    }

    /// The object as it is when the server's own controllers have done with it.
    async fn with_status(&self, path: &str, seed: &Value) -> Result<Value, String> {
        const SETTLE: Duration = Duration::from_millis(300);
        const TRIES: u32 = 5;
        if seed["status"].is_object() {
            // They may be faster once, hardly twice.
            for n_tries in 1.. {
                let mut object = self.get(path).await?;
                object["status"] = seed["status"].clone();
                match self.really(Method::PUT, &format!("{path}/status"), &object).await {
                    Err(_) if n_tries < TRIES => tokio::time::sleep(SETTLE).await,
                    written => {
                        written?;
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(SETTLE).await;
        self.get(path).await
    }

    /// Without what is decided anew each time.
    fn masked(&self, object: &Value) -> Result<Value, String> {
        let text = masks::masked_text(&object.to_string(), &self.began);
        let mut object: Value = serde_json::from_str(&text).map_err(|e| format!("read an object again: {e}"))?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["uid", "creationTimestamp", "managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        Ok(object)
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        self.client.get(path).await.map_err(|e| chain(&e))
    }

    async fn delete(&self, path: &str) {
        let options = object::plan::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
        // What is not there need not go.
        let _ = self.client.delete(path, &options).await;
        let patch = json!({"metadata": {"finalizers": null}, "spec": {"finalizers": null}});
        let _ = self.client.patch::<Value>(path, object::plan::PatchKind::Merge, &patch).await;
    }

    async fn ask(&self, method: Method, path: &str, object: &Value) -> Result<Answer, String> {
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Bytes::from(object.to_string())).map_err(|e| format!("make the request: {e}"))?;
        match self.client.send(request).await {
            Ok(response) => {
                let headers = response.headers().get_all("warning").iter();
                let warnings = headers.filter_map(|header| warning_text(header.to_str().ok()?)).collect();
                let body = response.into_body().collect().await.map_err(|e| format!("read the answer: {e}"))?;
                let object = serde_json::from_slice(&body.to_bytes()).map_err(|e| format!("parse the answer: {e}"))?;
                Ok(Answer::Fine { object, warnings })
            }
            Err(Error::Status(status)) if status.reason == "Invalid" => {
                let causes = status.details["causes"].as_array().cloned().unwrap_or_default();
                let said = |cause: &Value| masks::masked_text(cause["message"].as_str().unwrap_or(""), &self.began);
                let causes = causes.iter().map(|cause| json!([cause["field"], said(cause)])).collect();
                Ok(Answer::Faulty { causes })
            }
            Err(Error::Status(status)) => Ok(Answer::Other(status.message)),
            // Upstream's own server panics at some objects and breaks the stream off.
            Err(error) => Ok(Answer::Other(chain(&error))),
        }
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// `299 - "TEXT"`; that a version is deprecated is not the object's fault.
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.strip_prefix("299 - \"")?.strip_suffix('"')?;
    let text = quoted.replace("\\\"", "\"").replace("\\\\", "\\");
    (!text.contains(" is deprecated in v1.")).then_some(text)
}

/// Two wrong texts at one place that are answered alike are one case.
fn without_values(case: &Value) -> String {
    let put = &case["put"];
    let shown = [put.to_string(), put.as_str().unwrap_or("\u{0}").to_owned()];
    let mut text = json!([case["at"], case["want"], case["then"], case["warn"]]).to_string();
    for shown in shown.iter().filter(|shown| shown.len() > 1) {
        text = text.replace(shown.as_str(), "…");
    }
    text
}

fn cut(cause: Value) -> Value {
    let message = cause[1].as_str().unwrap_or("");
    let message_short = faulty::shortened(message);
    if message_short.len() <= CAUSE_LEN_MAX {
        return cause;
    }
    let start = message.char_indices().map(|(i, _)| i).take_while(|i| *i <= CAUSE_END_LEN).last().unwrap_or(0);
    let end = message.char_indices().map(|(i, _)| i).find(|i| *i + CAUSE_END_LEN >= message.len()).unwrap_or(0);
    json!([cause[0], format!("{}…{}", &message[..start], &message[end..])])
}

/// What to put where, to make `old` into `new`.
fn changes_between(old: &Value, new: &Value, place: &mut Vec<Value>, changes: &mut Vec<Value>) {
    if old == new {
        return;
    }
    let step = |key: Value, old: &Value, new: Option<&Value>, place: &mut Vec<Value>, changes: &mut Vec<Value>| {
        place.push(key);
        match new {
            Some(new) => changes_between(old, new, place, changes),
            None => changes.push(json!([place])),
        }
        place.pop();
    };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let all: Map<String, Value> = old.iter().chain(new).map(|(key, value)| (key.clone(), value.clone())).collect();
            for key in all.keys() {
                match (old.get(key), new.get(key)) {
                    (None, Some(value)) => {
                        place.push(json!(key));
                        changes.push(json!([place, value]));
                        place.pop();
                    }
                    (before, after) => step(json!(key), before.unwrap_or(&Value::Null), after, place, changes),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (i, (old, new)) in old.iter().zip(new).enumerate() {
                step(json!(i), old, Some(new), place, changes);
            }
        }
        (_, new) => changes.push(json!([place, new])),
    }
}
