//! Image references and pull policies, as far as the node looks at them.

use k8s_openapi::api::core::v1::Container;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// As defaulting would have written it: `Always` for `latest` or no tag.
pub fn pull_policy(container: &Container) -> PullPolicy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ => {
            let image = container.image.as_deref().unwrap_or_default();
            let has_other_tag = image.contains('@') || tag(image).is_some_and(|tag| tag != "latest");
            if has_other_tag { PullPolicy::IfNotPresent } else { PullPolicy::Always }
        }
    }
}

fn tag(image: &str) -> Option<&str> {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').map(|(_, tag)| tag)
}

/// Adds `:latest` where there is neither tag nor digest; refuses what is no reference, in upstream's words.
pub fn with_default_tag(image: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("couldn't parse image name {image:?}: {why}"));
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let tag = tag(name);
    let repository = tag.map_or(name, |tag| &name[..name.len() - tag.len() - 1]);
    let first = repository.split('/').next().unwrap_or_default();
    let has_registry = repository.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let path = if has_registry { &repository[first.len() + 1..] } else { repository };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return refuse("invalid reference format: repository name must be lowercase");
    }
    let is_good_path = !path.is_empty() && path.split('/').all(is_path_component);
    let is_good_tag = tag.is_none_or(|t| {
        t.len() <= 128
            && t.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && t.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
    });
    let is_good_digest =
        digest.is_none_or(|d| d.split_once(':').is_some_and(|(_, hex)| hex.len() >= 32 && hex.bytes().all(|c| c.is_ascii_hexdigit())));
    if !(is_good_path && is_good_tag && is_good_digest) {
        return refuse("invalid reference format");
    }
    Ok(if tag.is_none() && digest.is_none() { format!("{image}:latest") } else { image.to_owned() })
}

fn is_path_component(text: &str) -> bool {
    let is_edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty() && is_edge(bytes[0]) && is_edge(bytes[bytes.len() - 1]) && bytes.iter().all(|c| is_edge(*c) || b"._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::with_default_tag;

    #[test]
    fn references_are_read_as_upstream_does() {
        let digest = "sha256:".to_owned() + &"a".repeat(64);
        for (image, expected) in [
            ("nginx", Some("nginx:latest".to_owned())),
            ("nginx:1.25", Some("nginx:1.25".to_owned())),
            ("localhost:32000/chat", Some("localhost:32000/chat:latest".to_owned())),
            ("localhost:32000/chat:1", Some("localhost:32000/chat:1".to_owned())),
            ("registry.k8s.io/e2e-test-images/agnhost:2.53", Some("registry.k8s.io/e2e-test-images/agnhost:2.53".to_owned())),
            (&format!("nginx@{digest}"), Some(format!("nginx@{digest}"))),
            ("Nginx", None),
            ("a//b", None),
            ("nginx:", None),
            ("some image", None),
            ("", None),
        ] {
            assert_eq!(with_default_tag(image).ok(), expected, "{image}");
        }
    }
}
