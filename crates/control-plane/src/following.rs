//! The row that follows what the server serves: kinds of custom resources come and go while the controllers run.
//!
//! Its one key is the list of all kinds. It is looked at anew when a definition or an aggregated API changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use client::{Client, Error};
use jiff::SignedDuration;
use object::key::{GroupResource, GroupVersionResource, ObjectKey};
use object::plan::Plan;
use reconcile::controller::Adder;
use reconcile::{Ask, Controller, Informers};

use crate::discovery::{self, Discovered, Served};

/// Takes up a kind that was not there before.
pub(crate) type Follower = Box<dyn Fn(&Served) + Send + Sync>;

/// What tells of kinds that are not built in.
const SOURCES: &[(&str, &str)] = &[("apiextensions.k8s.io", "customresourcedefinitions"), ("apiregistration.k8s.io", "apiservices")];
/// Upstream: the collector's discovery period. A kind is served a moment after its definition says so.
const PERIOD: SignedDuration = SignedDuration::from_secs(30);

struct Following {
    informers: Informers,
    client: Client,
    followers: Vec<Follower>,
    built_in: Vec<GroupResource>,
    /// The kinds taken up since the start.
    custom: Mutex<BTreeMap<GroupResource, GroupVersionResource>>,
}

pub(crate) fn follow(informers: &Informers, client: &Client, served: &Discovered, followers: Vec<Follower>) -> Controller {
    let following = Arc::new(Following {
        informers: informers.clone(),
        client: client.clone(),
        followers,
        built_in: served.resources.iter().map(|s| s.resource.group_resource()).collect(),
        custom: Mutex::default(),
    });
    let mut controller = Controller::observing("resource-discovery", "resource-discovery", move |ask| {
        let following = Arc::clone(&following);
        async move { following.look(&ask).await }
    });
    let sources = served.resources.iter().filter(|s| SOURCES.contains(&(s.resource.group.as_str(), s.resource.resource.as_str())));
    for source in sources {
        let cache = informers.metadata_of(&source.resource);
        let mut progress = cache.progress();
        let feed = move |adder: Adder| {
            cache.on_metadata_change(Box::new(move |_, _| adder.add(ObjectKey::default())));
        };
        let synced = async move {
            let _ = progress.wait_for(|p| p.is_synced).await;
        };
        controller = controller.fed(feed, synced);
    }
    controller
}

impl Following {
    async fn look(&self, ask: &Ask) -> Result<Plan, Error> {
        let found = discovery::served(&self.client).await?;
        let mut custom = self.custom.lock().unwrap_or_else(PoisonError::into_inner);
        let is_custom = |s: &&Served| !self.built_in.contains(&s.resource.group_resource());
        let now: BTreeMap<GroupResource, &Served> =
            found.resources.iter().filter(is_custom).map(|s| (s.resource.group_resource(), s)).collect();
        // A group whose server is away for a moment keeps its kinds.
        let is_away = |resource: &GroupResource| found.failures.iter().any(|f| f.starts_with(&format!("{}/", resource.group)));
        custom.retain(|resource, version| {
            let is_kept = now.get(resource).map_or_else(|| is_away(resource), |served| served.resource == *version);
            if !is_kept {
                self.informers.forget(resource);
            }
            is_kept
        });
        for (resource, served) in now {
            if custom.insert(resource, served.resource.clone()).is_none() {
                self.followers.iter().for_each(|follow| follow(served));
            }
        }
        let mut plan = Plan::nothing();
        if !custom.is_empty() {
            plan.wake_by(ask.now + PERIOD);
        }
        Ok(plan)
    }
}
