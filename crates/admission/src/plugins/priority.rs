//! Priority: the number behind a pod's PriorityClass, and only one class that is the default.

use object::meta;
use object::status::Status;
use serde_json::Value;

use crate::{Operation, Request, Scene};

const GROUP: &str = "scheduling.k8s.io";

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, old: Option<&Value>, pod: &mut Value) -> Result<(), Status> {
    if !request.is_whole("", "pods") {
        return Ok(());
    }
    match request.operation {
        Operation::Create => establish(scene, request, pod),
        _ => {
            // An old client may leave out what it does not know.
            for field in ["priority", "preemptionPolicy"] {
                let before = old.map_or(&Value::Null, |old| &old["spec"][field]);
                if pod["spec"][field].is_null() && !before.is_null() {
                    pod["spec"][field] = before.clone();
                }
            }
            Ok(())
        }
    }
}

fn establish(scene: &Scene<'_>, request: &Request<'_>, pod: &mut Value) -> Result<(), Status> {
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or("").to_owned();
    let class = if name.is_empty() {
        default_class(scene)
    } else {
        let missing = || request.forbidden(Some(pod), format!("no PriorityClass with name {name} was found"));
        Some(scene.get(GROUP, "priorityclasses", "", &name).ok_or_else(missing)?)
    };
    let (value, policy) = match &class {
        Some(class) => (class["value"].as_i64().unwrap_or(0), class["preemptionPolicy"].as_str()),
        None => (0, Some("PreemptLowerPriority")),
    };
    let must_not = |kind: &str, field: &str, sent: &str, computed: &str| {
        request.forbidden(
            Some(pod),
            format!(
                "the {kind} value of {field} ({sent}) must not be provided in pod spec; \
                 priority admission controller computed {computed} from the given PriorityClass name"
            ),
        )
    };
    let spec = &pod["spec"];
    if let Some(sent) = spec["priority"].as_i64().filter(|sent| *sent != value) {
        return Err(must_not("integer", "priority", &sent.to_string(), &value.to_string()));
    }
    if let (Some(sent), Some(policy)) = (spec["preemptionPolicy"].as_str(), policy)
        && sent != policy
    {
        return Err(must_not("string", "PreemptionPolicy", sent, policy));
    }
    let spec = &mut pod["spec"];
    spec["priority"] = Value::from(value);
    if let Some(policy) = policy {
        spec["preemptionPolicy"] = Value::from(policy);
    }
    if let Some(class) = class {
        spec["priorityClassName"] = Value::from(meta::name(&class));
    }
    Ok(())
}

/// The one marked as default; of several, which cannot be but by a race, the lowest.
fn default_class(scene: &Scene<'_>) -> Option<Value> {
    let classes = scene.list(GROUP, "priorityclasses", "");
    classes.into_iter().filter(|class| class["globalDefault"] == true).min_by_key(|class| class["value"].as_i64())
}

pub(crate) fn validate(
    scene: &Scene<'_>,
    request: &Request<'_>,
    _: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(class) = new.filter(|class| request.is_whole(GROUP, "priorityclasses") && class["globalDefault"] == true) else {
        return Ok(());
    };
    match default_class(scene) {
        Some(other) if request.operation == Operation::Create || meta::name(&other) != meta::name(class) => {
            let name = meta::name(&other);
            Err(request.forbidden(new, format!("PriorityClass {name} is already marked as default. Only one default can exist")))
        }
        _ => Ok(()),
    }
}
