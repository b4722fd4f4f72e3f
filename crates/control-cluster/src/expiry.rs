//! What goes when its time is over: bootstrap tokens, and requests of pods for certificates.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::Metadata;
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::plan::{Change, Plan};

pub const BOOTSTRAP_TOKEN: &str = "bootstrap.kubernetes.io/token";
/// Upstream: the certificate is given out long before, or never.
const POD_REQUEST_LIFE: SignedDuration = SignedDuration::from_mins(15);

/// One without an end stays; one whose end cannot be read has ended.
pub fn plan_token(secret: &Secret, now: Timestamp) -> Plan {
    let written = secret.data.as_ref().and_then(|data| data.get("expiration"));
    match written.map(|bytes| std::str::from_utf8(&bytes.0).ok().and_then(|text| text.parse().ok())) {
        None => Plan::nothing(),
        Some(end) => ends_at(secret, end.unwrap_or(now), now),
    }
}

pub fn plan_pod_request(request: &PodCertificateRequest, now: Timestamp) -> Plan {
    let created = request.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
    ends_at(request, created + POD_REQUEST_LIFE, now)
}

fn ends_at<K: Metadata<Ty = ObjectMeta>>(object: &K, end: Timestamp, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    if end > now {
        plan.wake_by(end);
    } else if object.metadata().deletion_timestamp.is_none() {
        plan.changes.push(Change::delete(object));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn things_go_when_their_time_is_over() {
        let now: Timestamp = "2026-01-01T00:15:00Z".parse().unwrap();
        // base64 of a minute later, of a minute before, of what is no time.
        for (expiration, is_gone, wakes) in [
            (json!({"expiration": "MjAyNi0wMS0wMVQwMDoxNjowMFo="}), false, true),
            (json!({"expiration": "MjAyNi0wMS0wMVQwMDoxNDowMFo="}), true, false),
            (json!({"expiration": "c29vbg=="}), true, false),
            (json!({}), false, false),
        ] {
            let secret: Secret = serde_json::from_value(json!({"metadata": {"name": "t"}, "data": expiration})).unwrap();
            let plan = plan_token(&secret, now);
            assert_eq!((plan.changes.len() == 1, plan.wake_at.is_some()), (is_gone, wakes), "{expiration}");
        }
        let request = |created: &str| -> PodCertificateRequest {
            serde_json::from_value(json!({"metadata": {"name": "r", "creationTimestamp": created}, "spec": {
                "signerName": "s", "podName": "p", "podUID": "u", "serviceAccountName": "a", "serviceAccountUID": "u", "nodeName": "n",
                "nodeUID": "u", "stubPKCS10Request": ""}}))
            .unwrap()
        };
        assert_eq!(plan_pod_request(&request("2026-01-01T00:00:00Z"), now).changes.len(), 1);
        assert_eq!(plan_pod_request(&request("2026-01-01T00:00:01Z"), now).changes.len(), 0);
    }
}
