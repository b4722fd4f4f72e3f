//! Objects that are stored although they are faulty, as if an older server had let them in: what upstream still takes of them.
//!
//! Each fault that was refused is put into the stored object behind the API server's back, and then the object is written three times:
//! with another label, with the nearest other change that is fine by itself, and its status likewise. A line says which case of the
//! seed it speaks of (`kept`, counted from the seed), which cases lent their change (`by`), and the three answers: 0 is fine, 1 the
//! faults of that case again, a list others, `{"then": ...}` fine but with other changes than by itself, null no validation.
//! `read` is what reading had filled in.

use std::collections::HashSet;

use http::Method;
use kinds::Resource;
use serde_json::{Value, json};

use super::faulty::Put;
use super::{Answer, Reference, changes_between, cut};

/// The label of the first write.
pub(super) fn label() -> Put {
    Put { at: vec![json!("metadata"), json!("labels"), json!("kept")], value: Some(json!("so")) }
}

struct Ground<'a> {
    reference: &'a Reference,
    path: String,
    has_status: bool,
    lines: &'a [Value],
}

/// One line for each of `lines` that is a refusal.
pub(super) async fn record(
    reference: &Reference,
    resource: &Resource,
    path: &str,
    old: &Value,
    lines: &[Value],
) -> Result<Vec<Value>, String> {
    let revision = old["metadata"]["resourceVersion"].as_str().ok_or("an object has a revision")?;
    let key = reference.etcd.key_at(revision).await?;
    let ground = Ground { reference, path: path.to_owned(), has_status: resource.subresource("status").is_some(), lines };
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    let n_creates = lines.iter().position(|line| line["old"].is_object()).unwrap_or(lines.len());
    for (i, case) in lines.iter().enumerate().filter(|(i, case)| is_keepable(case, *i < n_creates)) {
        let put = put_of(case);
        if !seen.insert(put.to_value().to_string()) || !put.has_way(old) {
            continue;
        }
        let mut faulty = old.clone();
        put.apply(&mut faulty);
        reference.etcd.put(&key, &without_revision(&faulty)).await?;
        found.extend(ground.line(i, case, &faulty).await?);
    }
    // What is faulty could not be deleted.
    reference.etcd.put(&key, &without_revision(old)).await?;
    Ok(found)
}

/// etcd counts it itself.
fn without_revision(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    object
}

/// Refused for what it is; not for being different from what was there, or called differently.
fn is_keepable(case: &Value, is_create: bool) -> bool {
    let is_of_change = |cause: &Value| {
        let text = cause[1].as_str().unwrap_or("");
        text.ends_with("field is immutable") || text.starts_with("Forbidden: ")
    };
    let causes = case["want"].as_array().map_or(&[][..], Vec::as_slice);
    let is_identity = case["at"][0] == "metadata" && ["name", "generateName"].iter().any(|field| case["at"][1] == *field);
    !causes.is_empty() && !is_identity && (is_create || !causes.iter().all(is_of_change))
}

fn put_of(case: &Value) -> Put {
    Put { at: case["at"].as_array().cloned().unwrap_or_default(), value: case.get("put").cloned() }
}

impl Ground<'_> {
    async fn line(&self, i: usize, case: &Value, faulty: &Value) -> Result<Option<Value>, String> {
        let Ok(read) = self.reference.get(&self.path).await else { return Ok(None) };
        let mut line = json!({"kept": i});
        let (mut filled, mut place) = (Vec::new(), Vec::new());
        changes_between(&self.reference.masked(faulty)?, &self.reference.masked(&read)?, &mut place, &mut filled);
        if !filled.is_empty() {
            line["read"] = Value::Array(filled);
        }
        let near = self.nearest(case, &read, None);
        let near_status = self.nearest(case, &read, Some("status"));
        line["by"] = json!([near, near_status]);
        let mut said = vec![self.said(case, &self.path, &read, None).await?];
        said.push(if near.is_some() { self.said(case, &self.path, &read, near).await? } else { Value::Null });
        let status_path = format!("{}/status", self.path);
        said.push(if self.has_status { self.said(case, &status_path, &read, near_status).await? } else { Value::Null });
        if said.iter().all(Value::is_null) {
            return Ok(None);
        }
        line["said"] = Value::Array(said);
        Ok(Some(line))
    }

    /// The accepted change that stands closest to the faulty place without touching it.
    fn nearest(&self, case: &Value, read: &Value, subresource: Option<&str>) -> Option<usize> {
        let at = case["at"].as_array()?;
        let first_update = self.lines.iter().position(|line| line["old"].is_object())? + 1;
        let mut best: Option<(usize, usize)> = None;
        for (i, line) in self.lines.iter().enumerate().skip(first_update) {
            let Some(other) = line["at"].as_array().filter(|_| line.get("want").is_none() && line["sub"].as_str() == subresource) else {
                continue;
            };
            let n_shared = at.iter().zip(other).take_while(|(a, b)| a == b).count();
            let is_apart = n_shared < at.len() && n_shared < other.len() && other[0] != "metadata";
            if is_apart && best.is_none_or(|(most, _)| n_shared > most) && put_of(line).has_way(read) {
                best = Some((n_shared, i));
            }
        }
        best.map(|(_, i)| i)
    }

    /// The answer to a write of the line that lends its change, or of another label.
    async fn said(&self, case: &Value, path: &str, read: &Value, lender: Option<usize>) -> Result<Value, String> {
        let mut sent = read.clone();
        lender.map_or_else(label, |i| put_of(&self.lines[i])).apply(&mut sent);
        match self.reference.dry(Method::PUT, path, &sent).await? {
            Answer::Other(_) => Ok(Value::Null),
            Answer::Faulty { causes } => {
                let mut causes: Vec<Value> = causes.into_iter().map(cut).collect();
                let mut before = case["want"].as_array().cloned().unwrap_or_default();
                // Their order is known from the cases that they come from.
                causes.sort_by_key(ToString::to_string);
                before.sort_by_key(ToString::to_string);
                Ok(if causes == before { json!(1) } else { Value::Array(causes) })
            }
            Answer::Fine { object, .. } => {
                let own = lender.and_then(|i| self.lines[i]["then"].as_array()).into_iter().flatten();
                for change in own.filter_map(|change| Some(Put { at: change[0].as_array()?.clone(), value: change.get(1).cloned() })) {
                    change.apply(&mut sent);
                }
                let (mut changes, mut place) = (Vec::new(), Vec::new());
                changes_between(&self.reference.masked(&sent)?, &self.reference.masked(&object)?, &mut place, &mut changes);
                Ok(if changes.is_empty() { json!(0) } else { json!({"then": changes}) })
            }
        }
    }
}
