//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or out of reach, unless it says otherwise.

use object::status::Status;
use serde_json::{Value, json};

use super::{items, list_mut};
use crate::{Request, Scene};

const SECONDS: i64 = 300;

pub(crate) fn mutate(_: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, pod: &mut Value) -> Result<(), Status> {
    if !request.is_whole("", "pods") {
        return Ok(());
    }
    for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let is_tolerated = items(&pod["spec"], "tolerations").any(|t| {
            let text = |field: &str| t[field].as_str().unwrap_or("");
            (text("key") == taint || text("key").is_empty()) && matches!(text("effect"), "" | "NoExecute")
        });
        if !is_tolerated {
            let toleration = json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
            list_mut(&mut pod["spec"], "tolerations").push(toleration);
        }
    }
    Ok(())
}
