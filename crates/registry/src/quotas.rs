//! Quotas are charged in the transaction that writes what is charged for: two writers never share what is left, and nothing is
//! charged for a write that fails. Here is only where quotas lie; what is charged or refused is decided in `control_cluster::quota`.

use std::sync::Arc;

use control_cluster::quota::charge::{Asked, charge};
use object::status::Status;
use object::{Value, meta};
use store::{At, Expect, Op, Write};

use crate::form::Stored;
use crate::request::Request;
use crate::stages::OWN_MANAGER;
use crate::{Registry, address, faults, rows};

/// The writes that charge the namespace's quotas for this create (no old object) or update.
pub(crate) fn charges(registry: &Registry, request: &Request, old: Option<&Value>, new: &Value) -> Result<Vec<Write>, Status> {
    if !request.resource.namespaced || rows::is_uncounted(&request.resource) {
        return Ok(Vec::new());
    }
    let of_quota = registry.builtin("", "v1", "resourcequotas")?;
    let page = registry.store.range(&address::prefix(&of_quota, &request.namespace), None, At::Latest, 0);
    let records = page.map_err(|e| faults::from_store(&e))?.records;
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let read = |record: &Arc<store::Record>| registry.decode(&of_quota, &Stored::from(&**record));
    let mut quotas = records.iter().map(read).collect::<Result<Vec<Value>, Status>>()?;
    let now = registry.clock.now();
    let asked = Asked { resource: &request.group_resource(), subresource: &request.subresource, old, new };
    let charged = charge(&asked, &quotas, now).map_err(|cause| Status::forbidden(&request.group_resource(), meta::name(new), &cause))?;
    let mut writes = Vec::with_capacity(charged.len());
    for (i, used) in charged {
        let before = quotas[i].clone();
        let quota = &mut quotas[i];
        quota["status"]["used"] = used;
        let as_status = Request {
            resource: Arc::clone(&of_quota),
            subresource: "status".to_owned(),
            namespace: request.namespace.clone(),
            name: meta::name(quota).to_owned(),
            user: Arc::clone(&request.user),
        };
        registry.track(&as_status, Some(&before), quota, OWN_MANAGER, now);
        let value = registry.encode(&of_quota, quota)?;
        let expect = Expect::At(records[i].modified);
        writes.push(Write { key: Arc::clone(&records[i].key), expect, op: Op::Put { value, lease: None } });
    }
    Ok(writes)
}
