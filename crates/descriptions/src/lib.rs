//! What upstream says its kinds and fields are for, for OpenAPI documents and so for `kubectl explain`.
//!
//! The build script takes the sentences from the sources of the `k8s-openapi` crate and packs them; they are unpacked when a
//! document is made and let go after it. Not here: which types and fields there are (`kinds`), and documents (`codec::openapi`).

use std::collections::HashMap;

use codec::openapi::Descriptions;

/// All of it, for whoever must notice that it changed.
pub static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/texts.deflate"));
/// Far above what is packed: the size is ours, so this is no limit for anybody.
const LEN_MAX: usize = 16 << 20;

/// Sentences by type and field, unpacked.
pub struct Upstream {
    texts: HashMap<String, HashMap<String, String>>,
}

impl Upstream {
    pub fn unpack() -> Self {
        let fine = "the build script packed it";
        let plain = miniz_oxide::inflate::decompress_to_vec_with_limit(PACKED, LEN_MAX).expect(fine);
        Upstream { texts: serde_json::from_slice(&plain).expect(fine) }
    }
}

impl Descriptions for Upstream {
    fn of_type(&self, ty: &str) -> Option<&str> {
        self.of_field(ty, "")
    }
    fn of_field(&self, ty: &str, field: &str) -> Option<&str> {
        let text = self.texts.get(ty).and_then(|fields| fields.get(field)).map(String::as_str);
        text.or_else(|| own(ty, field))
    }
}

/// In our words, where the sources say nothing: `k8s-openapi` has one generic type for lists and one for watch events.
fn own(ty: &str, field: &str) -> Option<&'static str> {
    let text = match field {
        "apiVersion" => "Group and version that say how the object is to be read.",
        "kind" => "What the object is.",
        "items" => "The objects of the list.",
        "metadata" => "The revision of the list, and where a cut one goes on.",
        "object" if ty.ends_with(".WatchEvent") => return Some("The object as it is after the change, or a Status."),
        _ => return None,
    };
    ty.ends_with("List").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists are in no source: `k8s-openapi` has one generic type for them.
    #[test]
    fn every_type_that_is_served_is_described() {
        let texts = Upstream::unpack();
        let catalog = kinds::builtin();
        for resource in &catalog.resources {
            let ty = catalog.get(resource.type_id);
            assert!(texts.of_type(&ty.name).is_some(), "{}", ty.name);
            // Upstream says nothing of some kinds' metadata.
            for field in ty.fields.iter().filter(|f| f.name != "metadata") {
                assert!(texts.of_field(&ty.name, &field.name).is_some(), "{}.{}", ty.name, field.name);
            }
        }
    }

    #[test]
    fn escapes_are_read() {
        let texts = Upstream::unpack();
        let text = texts.of_field("io.k8s.api.core.v1.VolumeProjection", "clusterTrustBundle").unwrap();
        assert!(text.contains("`.spec.trustBundle`") && text.contains("\n\n"), "{text}");
    }
}
