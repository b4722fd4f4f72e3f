//! Whom pods trust and by what they are trusted: PEM texts made fit for files.
//!
//! Upstream: whatever stands between and in the heads of PEM blocks is dropped, and anchors come once, in no promised order.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::ClusterTrustBundleProjection;
use object::selector::LabelSelector;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// The anchors of the bundle of a name, or of those a signer's selector chooses.
pub(crate) fn anchors(bundles: &[Arc<ClusterTrustBundle>], source: &ClusterTrustBundleProjection) -> Result<String, String> {
    let is_optional = source.optional == Some(true);
    let chosen: Vec<&ClusterTrustBundle> = if let Some(name) = &source.name {
        let found: Vec<_> = bundles.iter().map(Arc::as_ref).filter(|b| b.metadata.name.as_ref() == Some(name)).collect();
        if found.is_empty() && !is_optional {
            return Err(format!("while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found"));
        }
        found
    } else if let Some(signer) = &source.signer_name {
        // No selector chooses nothing, an empty one everything.
        let selector = source.label_selector.as_ref().map(|selector| LabelSelector::from_object(&serde_json::json!(selector)));
        let selector = selector.transpose().map_err(|e| format!("while parsing label selector: {e}"))?;
        let is_chosen = |bundle: &&ClusterTrustBundle| {
            let label = |name: &str| bundle.metadata.labels.as_ref()?.get(name).map(String::as_str);
            bundle.spec.signer_name.as_ref() == Some(signer) && selector.as_ref().is_some_and(|s| s.matches_with(&label))
        };
        let found: Vec<_> = bundles.iter().map(Arc::as_ref).filter(is_chosen).collect();
        if found.is_empty() && !is_optional {
            return Err("combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned());
        }
        found
    } else {
        return Err("ClusterTrustBundle projection requires either name or signerName to be set".to_owned());
    };
    let anchors: BTreeSet<String> = chosen.iter().flat_map(|bundle| blocks(&bundle.spec.trust_bundle)).collect();
    Ok(anchors.iter().map(|body| block(body)).collect())
}

/// A signer's chain without anything but its certificates.
pub fn clean_chain(chain: &str) -> String {
    blocks(chain).map(|body| block(&body)).collect()
}

/// The base64 of each block, joined.
fn blocks(pem: &str) -> impl Iterator<Item = String> {
    let mut lines = pem.lines().map(str::trim);
    std::iter::from_fn(move || {
        lines.by_ref().find(|line| line.starts_with(BEGIN))?;
        let body = lines.by_ref().take_while(|line| !line.starts_with(END));
        // A head is `Name: value`; base64 holds no colon.
        Some(body.filter(|line| !line.contains(':')).collect::<String>())
    })
}

fn block(body: &str) -> String {
    const WIDTH: usize = 64;
    let mut text = format!("{BEGIN}CERTIFICATE-----\n");
    let mut rest = body;
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(WIDTH).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(END);
    text.push_str("CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bundle(name: &str, signer: &str, anchors: &[&str]) -> Arc<ClusterTrustBundle> {
        let pem: String =
            anchors.iter().map(|a| format!("said of it\n{BEGIN}CERTIFICATE-----\nHead: x\n\n{a}\n{END}CERTIFICATE-----\n")).collect();
        let labels = json!({"kept": name});
        let object = json!({"metadata": {"name": name, "labels": labels}, "spec": {"signerName": signer, "trustBundle": pem}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn anchors_are_chosen_by_name_or_signer() {
        let bundles = [bundle("a", "x/y", &["AAAA", "BBBB"]), bundle("b", "x/y", &["BBBB"]), bundle("c", "x/z", &["CCCC"])];
        let check = |source: Value, expected: Result<&[&str], &str>| {
            let mut source = source;
            source["path"] = json!("p");
            let source: ClusterTrustBundleProjection = serde_json::from_value(source).unwrap();
            let expected = expected.map(|bodies| bodies.iter().map(|b| block(b)).collect::<String>()).map_err(str::to_owned);
            assert_eq!(anchors(&bundles, &source), expected, "{source:?}");
        };
        check(json!({"name": "a"}), Ok(&["AAAA", "BBBB"]));
        check(json!({"name": "d"}), Err("while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"d\" not found"));
        check(json!({"name": "d", "optional": true}), Ok(&[]));
        check(json!({"signerName": "x/y", "labelSelector": {}}), Ok(&["AAAA", "BBBB"]));
        check(json!({"signerName": "x/y", "labelSelector": {"matchLabels": {"kept": "b"}}}), Ok(&["BBBB"]));
        check(json!({"signerName": "x/y"}), Err("combination of signerName and labelSelector matched zero ClusterTrustBundles"));
        check(json!({"signerName": "x/y", "optional": true}), Ok(&[]));
        check(json!({}), Err("ClusterTrustBundle projection requires either name or signerName to be set"));
    }

    #[test]
    fn long_bodies_are_broken() {
        let body = "A".repeat(65);
        assert_eq!(block(&body), format!("{BEGIN}CERTIFICATE-----\n{}\nA\n{END}CERTIFICATE-----\n", "A".repeat(64)));
        assert_eq!(clean_chain(&format!("x\n{}y", block(&body))), block(&body));
    }
}
