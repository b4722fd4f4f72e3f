//! Draws like notes together, so that a crash loop is one Event with a count (upstream: `client-go/tools/record`, `EventCorrelator`).
//!
//! Three steps: a token bucket per object; ten different messages of one reason within ten minutes become one "combined" event;
//! and what was said before raises a count. Pure: the time is handed in.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use object::Value;
use object::key::ObjectKey;
use object::plan::{Note, Reference, Weight};
use object::time::seconds;
use serde_json::json;

/// Who says it: `source` of an Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub component: &'static str,
    /// The node's name for the node's own events, else empty.
    pub host: Arc<str>,
}

impl Origin {
    pub fn component(component: &'static str) -> Self {
        Origin { component, host: Arc::from("") }
    }
}

const BURST: f64 = 25.0;
const TOKENS_PER_SECOND: f64 = 1.0 / 300.0;
const SIMILAR_MAX: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// Upstream keeps 4096 entries; here two generations of half that.
const GENERATION_MAX: usize = 2048;
const COMBINED: &str = "(combined from similar events): ";

/// One write to the API: patch the event when it is known, write it whole when it is new or gone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventWrite {
    pub(crate) key: ObjectKey,
    pub(crate) whole: Value,
    pub(crate) patch: Option<Value>,
}

#[derive(Default)]
pub(crate) struct Correlator {
    buckets: Recent<(Origin, String), Bucket>,
    similar: Recent<Subject, Similar>,
    told: Recent<(Subject, String), Told>,
    /// What the last event was named by.
    named_at_ns: i128,
}

/// What similar events have in common: everything but the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    origin: Origin,
    uid: String,
    name: String,
    field_path: String,
    weight: Weight,
    reason: &'static str,
}

#[derive(Clone)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

#[derive(Clone, Default)]
struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

#[derive(Clone)]
struct Told {
    name: String,
    first: Timestamp,
    count: u64,
}

impl Correlator {
    /// `None`: the object has said too much lately.
    pub(crate) fn observe(&mut self, origin: Origin, note: &Note, now: Timestamp) -> Option<EventWrite> {
        self.take_token(&origin, &note.about, now)?;
        let about = &note.about;
        let subject = Subject {
            origin: origin.clone(),
            uid: about.uid.clone(),
            name: about.name.clone(),
            field_path: about.field_path.clone(),
            weight: note.weight,
            reason: note.reason,
        };
        let is_combined = self.is_one_of_many(&subject, &note.message, now);
        let message = if is_combined { format!("{COMBINED}{}", note.message) } else { note.message.clone() };
        let entry = (subject, if is_combined { String::new() } else { message.clone() });
        let mut told = match self.told.get(&entry) {
            Some(told) => told,
            None => Told { name: format!("{}.{:x}", about.name, self.next_name_ns(now)), first: now, count: 0 },
        };
        told.count += 1;
        self.told.put(entry, told.clone());
        let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace };
        let key = ObjectKey::new(namespace, told.name.as_str());
        let whole = event(&key, &origin, note, &message, &told, now);
        let patch = json!({"count": told.count, "lastTimestamp": seconds(now), "message": message});
        Some(EventWrite { key, whole, patch: (told.count > 1).then_some(patch) })
    }

    /// Events of one instant need names of their own; a virtual clock stands still for long.
    fn next_name_ns(&mut self, now: Timestamp) -> i128 {
        self.named_at_ns = now.as_nanosecond().max(self.named_at_ns + 1);
        self.named_at_ns
    }

    fn take_token(&mut self, origin: &Origin, about: &Reference, now: Timestamp) -> Option<()> {
        let entry = (origin.clone(), format!("{}/{}/{}/{}", about.kind, about.namespace, about.name, about.uid));
        let mut bucket = self.buckets.get(&entry).unwrap_or(Bucket { tokens: BURST, at: now });
        let elapsed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + elapsed * TOKENS_PER_SECOND).min(BURST);
        bucket.at = now;
        let has_token = bucket.tokens >= 1.0;
        if has_token {
            bucket.tokens -= 1.0;
        }
        self.buckets.put(entry, bucket);
        has_token.then_some(())
    }

    fn is_one_of_many(&mut self, subject: &Subject, message: &str, now: Timestamp) -> bool {
        let mut similar = self.similar.get(subject).unwrap_or_default();
        if now.duration_since(similar.last) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(message.to_owned());
        let is_one_of_many = similar.messages.len() >= SIMILAR_MAX;
        if is_one_of_many {
            similar.messages.pop_first();
        }
        self.similar.put(subject.clone(), similar);
        is_one_of_many
    }
}

fn event(key: &ObjectKey, origin: &Origin, note: &Note, message: &str, told: &Told, now: Timestamp) -> Value {
    let about = &note.about;
    let mut involved = json!({});
    for (field, text) in [
        ("kind", &about.kind),
        ("namespace", &about.namespace),
        ("name", &about.name),
        ("uid", &about.uid),
        ("apiVersion", &about.api_version),
        ("resourceVersion", &about.resource_version),
        ("fieldPath", &about.field_path),
    ] {
        if !text.is_empty() {
            involved[field] = text.as_str().into();
        }
    }
    let mut source = json!({"component": origin.component});
    if !origin.host.is_empty() {
        source["host"] = (*origin.host).into();
    }
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": involved, "reason": note.reason, "message": message, "source": source,
        "firstTimestamp": seconds(told.first), "lastTimestamp": seconds(now), "count": told.count,
        "type": match note.weight { Weight::Normal => "Normal", Weight::Warning => "Warning" },
        "reportingComponent": origin.component, "reportingInstance": *origin.host,
    })
}

/// A map that forgets: entries not used while `GENERATION_MAX` others were are dropped.
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }

    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= GENERATION_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(message: &str) -> Note {
        let about = Reference { kind: "Pod".to_owned(), name: "web".to_owned(), uid: "u".to_owned(), ..Reference::default() };
        Note::warning(about, "BackOff", message)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn the_same_note_raises_a_count() {
        let mut correlator = Correlator::default();
        let first = correlator.observe(Origin::component("kubelet"), &note("back-off"), at(0)).unwrap();
        let second = correlator.observe(Origin::component("kubelet"), &note("back-off"), at(5)).unwrap();
        assert_eq!((first.patch, first.key.clone()), (None, second.key.clone()));
        assert_eq!(second.patch.unwrap()["count"], 2);
        assert_eq!(second.whole["firstTimestamp"], first.whole["firstTimestamp"]);
        assert_eq!(first.key.namespace, "default", "cluster-scoped objects have their events there");
    }

    #[test]
    fn the_tenth_like_note_is_combined_and_the_twenty_sixth_is_dropped() {
        let mut correlator = Correlator::default();
        let mut texts = Vec::new();
        for i in 0..26 {
            texts.push(
                correlator.observe(Origin::component("x"), &note(&format!("message {i}")), at(i)).map(|w| w.whole["message"].clone()),
            );
        }
        assert_eq!(texts[8], Some("message 8".into()));
        assert_eq!(texts[9], Some(format!("{COMBINED}message 9").into()));
        assert_eq!(texts[25], None);
    }
}
