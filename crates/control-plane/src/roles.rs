//! The row of aggregated cluster roles.

use std::sync::Arc;

use control_cluster::cluster_role;
use object::plan::{Plan, key_of};
use reconcile::Controller;

use crate::caches::Caches;

pub(crate) fn cluster_roles(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("clusterrole-aggregation", "clusterrole-aggregation-controller", move |ask| {
        match planning.cluster_roles.get(&ask.key) {
            Some(role) if role.aggregation_rule.is_some() => cluster_role::plan(&role, &planning.cluster_roles.list()),
            _ => Plan::nothing(),
        }
    })
    .maps(&caches.cluster_roles, move |changed| {
        let all = mapping.cluster_roles.list();
        let drawing = all.iter().filter(|role| changed.sides().any(|side| cluster_role::aggregates(role, side)));
        drawing.map(|role| key_of(&role.metadata)).chain([changed.key.clone()]).collect()
    })
}
