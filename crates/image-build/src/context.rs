//! The folder a build copies from: what `.dockerignore` leaves of it, and which files a COPY source names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::glob;

/// Files, folders and links by their path below the root, sorted; the root itself is not listed.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) paths: BTreeMap<String, fs::Metadata>,
}

/// A rule of `.dockerignore`; later rules win.
pub(crate) struct Rule {
    pattern: String,
    keep: bool,
}

impl Tree {
    /// The build context: all but what is ignored.
    pub(crate) fn context(root: &Path) -> Result<Self, Error> {
        let ignore = root.join(".dockerignore");
        let rules = fs::read_to_string(&ignore).map(|text| rules(&text)).unwrap_or_default();
        let mut tree = Tree { root: root.to_owned(), paths: BTreeMap::new() };
        tree.walk(root, "", &rules)?;
        Ok(tree)
    }

    /// Everything below `root`: the merged files of another stage.
    pub(crate) fn whole(root: &Path) -> Result<Self, Error> {
        let mut tree = Tree { root: root.to_owned(), paths: BTreeMap::new() };
        tree.walk(root, "", &[])?;
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, below: &str, rules: &[Rule]) -> Result<(), Error> {
        let failed = |e| Error::File("read", folder.to_owned(), e);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let metadata = entry.metadata().map_err(failed)?;
            let ignored = is_ignored(&path, rules);
            // A kept file may lie in an ignored folder, so folders are looked into when any rule keeps.
            if metadata.is_dir() && (!ignored || rules.iter().any(|r| r.keep)) {
                self.walk(&entry.path(), &path, rules)?;
            }
            if !ignored {
                self.paths.insert(path, metadata);
            }
        }
        Ok(())
    }

    /// The paths a source names; a pattern may name many, and must name one at least.
    pub(crate) fn find(&self, source: &str) -> Vec<String> {
        let source = clean(source);
        if source.is_empty() || self.paths.contains_key(&source) {
            return vec![source];
        }
        self.paths.keys().filter(|path| glob::matches(&source, path)).cloned().collect()
    }

    /// A path and, when it is a folder, all below it.
    pub(crate) fn below<'a>(&'a self, path: &str) -> Vec<(&'a str, &'a fs::Metadata)> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        self.paths.iter().filter(|(p, _)| *p == path || p.starts_with(&prefix)).map(|(p, m)| (p.as_str(), m)).collect()
    }
}

/// Without `.`, `..` and slashes at the ends: `..` cannot lead out of the context.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

pub(crate) fn rules(text: &str) -> Vec<Rule> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| match line.strip_prefix('!') {
            Some(pattern) => Rule { pattern: clean(pattern.trim()), keep: true },
            None => Rule { pattern: clean(line), keep: false },
        })
        .collect()
}

/// A rule for a folder holds for all below it.
pub(crate) fn is_ignored(path: &str, rules: &[Rule]) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let ancestors: Vec<&str> = ends.map(|end| &path[..end]).collect();
    let hit = |rule: &&Rule| ancestors.iter().any(|a| glob::matches(&rule.pattern, a));
    rules.iter().rev().find(hit).is_some_and(|rule| !rule.keep)
}
