//! Image names: `nginx` is `docker.io/library/nginx:latest`, as everywhere.

use std::fmt;

use crate::Digest;

const DEFAULT_HOST: &str = "docker.io";
const NAME_LEN_MAX: usize = 255;
const TAG_LEN_MAX: usize = 128;

/// A full name: host, repository, and a tag, a digest, or both (then the digest decides).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub host: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadReference(pub String);

impl fmt::Display for BadReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "couldn't parse image name \"{}\": invalid reference format", self.0)
    }
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        let bad = || BadReference(text.to_owned());
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest).ok_or_else(bad)?)),
            None => (text, None),
        };
        let (path, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to the host's port.
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        let (host, repository) = match path.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest.to_owned()),
            Some(_) => (DEFAULT_HOST, path.to_owned()),
            None => (DEFAULT_HOST, format!("library/{path}")),
        };
        let host = if host == "index.docker.io" { DEFAULT_HOST } else { host };
        let is_valid =
            repository.len() <= NAME_LEN_MAX && repository.split('/').all(is_component) && tag.is_none_or(is_tag) && !path.is_empty();
        if !is_valid {
            return Err(bad());
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Reference { host: host.to_owned(), repository, tag, digest })
    }

    /// What the registry is asked for.
    pub fn tag_or_digest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Host and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

fn is_component(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty() && edge(bytes[0]) && edge(bytes[bytes.len() - 1]) && bytes.iter().all(|c| edge(*c) || b"._-".contains(c))
}

fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    !bytes.is_empty() && bytes.len() <= TAG_LEN_MAX && word(bytes[0]) && bytes.iter().all(|c| word(*c) || b".-".contains(c))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}
