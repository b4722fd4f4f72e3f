//! Sends a story to a server and collects the masked answers.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use client::transport::Transport;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::mask::Masks;
use crate::story::{Edit, Payload, Request, Story};

/// Headers that clients act on.
const HEADERS: &[&str] = &["content-type", "warning", "location", "retry-after", "allow", "cache-control", "www-authenticate"];
/// A stream that has not ended by then is compared as far as it came.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// What an informer needs to see a write; the reference's admission plugins and authorizers read theirs.
const SETTLING_TIME: Duration = Duration::from_millis(400);

/// What a client sees of one answer, masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// `name: value`, sorted.
    pub headers: Vec<String>,
    pub body: String,
}

/// Sends the requests in their order. `waits` is for servers whose informers lag behind.
pub async fn ask(story: &Story, transport: &dyn Transport, waits: bool) -> Vec<Answer> {
    let mut scene = Scene { ns: story.namespace(), ..Scene::default() };
    let mut answers = Vec::with_capacity(story.requests.len());
    for request in &story.requests {
        if request.is_settled && waits {
            tokio::time::sleep(SETTLING_TIME).await;
        }
        scene.masks.next_request();
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, one(request, transport, &mut scene)).await;
        answers.push(answer.unwrap_or_else(|_| Answer { body: "no answer in time".to_owned(), ..Answer::default() }));
    }
    answers
}

/// What later requests of a story may speak of.
#[derive(Default)]
struct Scene {
    ns: String,
    last: Value,
    uid: String,
    name: String,
    revision: String,
    first_revision: String,
    token: String,
    masks: Masks,
}

impl Scene {
    fn fill(&self, text: &str) -> String {
        if !text.contains("$(") {
            return text.to_owned();
        }
        let places = [
            ("$(ns)", &self.ns),
            ("$(namespace)", &self.ns),
            ("$(uid)", &self.uid),
            ("$(name)", &self.name),
            ("$(rv)", &self.revision),
            ("$(rv0)", &self.first_revision),
            ("$(continue)", &self.token),
        ];
        places.iter().fold(text.to_owned(), |text, (place, value)| text.replace(place, value))
    }

    fn learn(&mut self, body: &str) {
        let Ok(object) = serde_json::from_str::<Value>(body) else { return };
        let meta = &object["metadata"];
        let text = |key: &str| meta[key].as_str().unwrap_or("").to_owned();
        if object["kind"] == "Status" {
            return;
        }
        self.token = text("continue");
        if !meta["resourceVersion"].is_null() {
            self.revision = text("resourceVersion");
            if self.first_revision.is_empty() {
                self.first_revision.clone_from(&self.revision);
            }
        }
        if !meta["uid"].is_null() {
            (self.uid, self.name) = (text("uid"), text("name"));
            self.last = object;
        }
    }
}

async fn one(request: &Request, transport: &dyn Transport, scene: &mut Scene) -> Answer {
    let body = match &request.payload {
        Payload::Text(text) => Bytes::from(scene.fill(text)),
        Payload::Protobuf(json) => Bytes::from(protobuf(&scene.fill(json))),
        Payload::Raw(bytes) => Bytes::from(bytes.clone()),
        Payload::Last(edits) => Bytes::from(edited(scene, edits).to_string()),
    };
    let path = scene.fill(&request.path);
    let asked = String::from_utf8_lossy(&body).into_owned();
    let mut sent = http::Request::builder().method(request.method).uri(&path);
    if !request.headers.iter().any(|(name, _)| *name == "user-agent") {
        sent = sent.header("user-agent", "tester/1.0");
    }
    for (name, value) in &request.headers {
        sent = sent.header(*name, value);
    }
    let sent = match sent.body(body) {
        Ok(sent) => sent,
        Err(error) => return Answer { body: format!("cannot be sent: {error}"), ..Answer::default() },
    };
    let response = match transport.send(sent).await {
        Ok(response) => response,
        Err(error) => return Answer { body: format!("no answer: {error}"), ..Answer::default() },
    };
    let (parts, body) = response.into_parts();
    let mut bytes = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    if request.method == "HEAD" {
        // On the wire there is none; what goes through the process still has it.
        bytes.clear();
    }
    let is_packed = parts.headers.get(http::header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let bytes = if is_packed { unpacked(&bytes) } else { bytes };
    let text = readable(&bytes);
    scene.learn(&text);
    scene.masks.sent(&asked, &text);
    let mut headers: Vec<String> = HEADERS
        .iter()
        .flat_map(|name| {
            parts.headers.get_all(*name).iter().map(move |value| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        })
        .collect();
    if request.has_form {
        let layout = if text.starts_with("{\n") { "indented" } else { "in a line" };
        let end = if text.ends_with('\n') { "ended" } else { "not ended" };
        headers.push(format!("form: {}, {layout}, {end}", if is_packed { "gzip" } else { "plain" }));
    }
    headers.sort();
    Answer {
        status: parts.status.as_u16(),
        body: scene.masks.body(&text),
        headers: headers.into_iter().map(|header| scene.masks.text(&header)).collect(),
    }
}

fn edited(scene: &Scene, edits: &[Edit]) -> Value {
    let mut object = scene.last.clone();
    for edit in edits {
        match &edit.value {
            Some(Value::String(text)) => set(&mut object, &edit.pointer, Value::from(scene.fill(text))),
            Some(value) => set(&mut object, &edit.pointer, value.clone()),
            None => remove(&mut object, &edit.pointer),
        }
    }
    object
}

/// Puts a value where a JSON pointer says, making the objects and the first list items on the way.
pub(crate) fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        if let Ok(index) = key.parse::<usize>()
            && !place.is_object()
        {
            if !place.is_array() {
                *place = Value::Array(Vec::new());
            }
            let items = place.as_array_mut().expect("made so above");
            if items.len() <= index {
                items.resize(index + 1, Value::Null);
            }
            place = &mut items[index];
        } else {
            if !place.is_object() {
                *place = Value::Object(serde_json::Map::new());
            }
            place = &mut place[key];
        }
    }
    *place = value;
}

pub(crate) fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(items)) => {
            if let Ok(index) = key.parse::<usize>()
                && index < items.len()
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}

/// The protobuf form of an object in JSON.
fn protobuf(json: &str) -> Vec<u8> {
    let mut object: Value = serde_json::from_str(json).unwrap_or_default();
    let catalog = kinds::builtin();
    let Some(ty) = catalog.type_of(&object::meta::kind(&object)) else { return Vec::new() };
    // What has no Go form cannot be put on this wire; it is sent as far as it goes.
    let _ = codec::normalise(catalog, ty, &mut object);
    codec::protobuf::encode(catalog, ty, &object)
}

fn unpacked(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    match GzDecoder::new(bytes).read_to_end(&mut plain) {
        Ok(_) => plain.into(),
        Err(error) => Bytes::from(format!("gzip: {error}")),
    }
}

/// A protobuf document as JSON, marked as such; other bytes as text.
fn readable(bytes: &[u8]) -> String {
    if bytes.starts_with(codec::protobuf::MAGIC) {
        return match codec::protobuf::decode(kinds::builtin(), bytes) {
            Ok((_, object)) => object.to_string(),
            Err(error) => format!("protobuf: {error}"),
        };
    }
    String::from_utf8_lossy(bytes).into_owned()
}
