//! The reference's answers as they are kept: a compressed file a chapter, a line a story.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::ask::Answer;
use crate::story::Story;

/// Answers by story and request, each with the digest of the request it answers.
#[derive(Debug, Default)]
pub struct Golden {
    stories: BTreeMap<String, HashMap<String, (String, Answer)>>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

impl Golden {
    pub fn read() -> Result<Self, String> {
        let mut golden = Golden::default();
        for entry in std::fs::read_dir(folder()).map_err(|e| format!("no recorded answers: {e}"))?.flatten() {
            if entry.path().extension().is_some_and(|e| e == "gz") {
                golden.read_file(&entry.path()).map_err(|e| format!("`{}`: {e}", entry.path().display()))?;
            }
        }
        Ok(golden)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        GzDecoder::new(file).read_to_string(&mut text).map_err(|e| e.to_string())?;
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
            let answers = line["answers"].as_array().into_iter().flatten().map(|answer| {
                let text = |i: usize| answer[i].as_str().unwrap_or("").to_owned();
                let headers = answer[3].as_array().into_iter().flatten().filter_map(|h| h.as_str().map(str::to_owned)).collect();
                let status = answer[2].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
                (text(0), (text(1), Answer { status, headers, body: text(4) }))
            });
            self.stories.insert(line["story"].as_str().unwrap_or("").to_owned(), answers.collect());
        }
        Ok(())
    }

    /// `None` when the request was not recorded, or was another one then.
    pub fn answer(&self, story: &str, request: &str, digest: &str) -> Option<&Answer> {
        let (recorded, answer) = self.stories.get(story)?.get(request)?;
        (recorded == digest).then_some(answer)
    }

    pub fn put(&mut self, story: &Story, answers: &[Answer]) {
        let by_name = story.requests.iter().zip(answers).map(|(r, a)| (r.name.clone(), (r.digest(), a.clone())));
        self.stories.insert(story.name.clone(), by_name.collect());
    }

    /// Writes the answers to these stories and forgets all others.
    pub fn write(&self, stories: &[Story]) -> Result<(), String> {
        let mut chapters: BTreeMap<&str, String> = BTreeMap::new();
        for story in stories {
            let Some(recorded) = self.stories.get(&story.name) else { continue };
            let answers: Vec<Value> = story
                .requests
                .iter()
                .filter_map(|r| recorded.get(&r.name).map(|(digest, a)| json!([r.name, digest, a.status, a.headers, a.body])))
                .collect();
            let chapter = chapters.entry(story.chapter()).or_default();
            chapter.push_str(&json!({"story": story.name, "answers": answers}).to_string());
            chapter.push('\n');
        }
        let folder = folder();
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        for old in std::fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten() {
            let is_known = old
                .path()
                .file_name()
                .and_then(|n| n.to_str())
                .and_then(|n| n.strip_suffix(".jsonl.gz"))
                .is_some_and(|n| chapters.contains_key(n));
            if !is_known {
                std::fs::remove_file(old.path()).map_err(|e| e.to_string())?;
            }
        }
        for (chapter, text) in chapters {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
            let bytes = encoder.finish().map_err(|e| e.to_string())?;
            std::fs::write(folder.join(format!("{chapter}.jsonl.gz")), bytes).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}
