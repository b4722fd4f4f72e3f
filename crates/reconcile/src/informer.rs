//! Keeps one cache by one watch.
//!
//! ```text
//!  stream of all objects (sendInitialEvents) --end bookmark--> synced --changes--> ...
//!    | not understood                                             | 410, unreadable
//!    v                                                            v
//!  list, then watch after its revision                        start anew; the cache keeps serving meanwhile
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::api::list;
use client::watch::{Event, Start, Watch};
use client::{Client, Error};
use object::key::GroupVersionResource;
use object::plan::key_of;
use tokio::time::{Instant, sleep_until};

use crate::cache::{Cache, Cached};

/// What is asked for more seldom is packed. A controller that works on an object looks at it more often.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Runs until it is dropped.
pub(crate) async fn keep<K: Cached>(client: Client, resource: GroupVersionResource, cache: Cache<K>) {
    let mut wait = BACKOFF_MIN;
    let mut knows_watch_list = true;
    loop {
        let before = *cache.progress().borrow();
        let failure =
            if knows_watch_list { stream(&client, &resource, &cache).await } else { list_and_watch(&client, &resource, &cache).await };
        // Upstream: 422 when the feature is off; other servers say 400.
        if knows_watch_list && failure.status().is_some_and(|s| s.code == 422 || s.code == 400) {
            tracing::debug!(resource = %resource.group_resource(), "the server does not stream lists");
            knows_watch_list = false;
            continue;
        }
        tracing::debug!(resource = %resource.group_resource(), error = %failure, "watch starts anew");
        if *cache.progress().borrow() != before {
            wait = BACKOFF_MIN;
        }
        if !failure.is_expired() {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }
}

async fn stream<K: Cached>(client: &Client, resource: &GroupVersionResource, cache: &Cache<K>) -> Error {
    let mut watch: Watch<K> = Watch::new(client.clone(), resource, cache.selection(), Start::Initial);
    // An empty cache takes objects as they come, so that they are never all here unpacked. What it holds from before may be gone
    // by now, and shows so only at the end.
    let mut initial = if cache.is_empty() { None } else { Some(BTreeMap::new()) };
    loop {
        match watch.next().await {
            Ok(Event::Added(mut object) | Event::Modified(mut object)) => {
                cache.trim(&mut object);
                match &mut initial {
                    None => cache.put(Arc::new(object)),
                    Some(initial) => drop(initial.insert(key_of(object.metadata()), Arc::new(object))),
                }
            }
            Ok(Event::Deleted(object)) => {
                let key = key_of(object.metadata());
                match &mut initial {
                    None => cache.remove(key),
                    Some(initial) => drop(initial.remove(&key)),
                }
            }
            Ok(Event::Bookmark { initial_end: false, .. }) => {}
            Ok(Event::Bookmark { initial_end: true, resource_version }) => {
                if let Some(initial) = initial {
                    cache.replace_all(initial.into_values());
                }
                cache.advance(&resource_version, true);
                return follow(watch, cache).await;
            }
            Err(e) => return e,
        }
    }
}

async fn list_and_watch<K: Cached>(client: &Client, resource: &GroupVersionResource, cache: &Cache<K>) -> Error {
    let mut list = match list::<K>(client, resource, cache.selection()).await {
        Ok(list) => list,
        Err(e) => return e,
    };
    let mut objects = list.items.take().unwrap_or_default();
    objects.iter_mut().for_each(|object| cache.trim(object));
    cache.replace_all(objects.into_iter().map(Arc::new));
    cache.advance(&list.metadata.resource_version, true);
    let start = Start::After(list.metadata.resource_version);
    follow(Watch::new(client.clone(), resource, cache.selection(), start), cache).await
}

async fn follow<K: Cached>(mut watch: Watch<K>, cache: &Cache<K>) -> Error {
    // What an earlier watch left loose has woken nobody.
    let mut sweep_at = Some(Instant::now() + SWEEP_EVERY);
    loop {
        let event = tokio::select! {
            event = watch.next() => event,
            () = cache.loosened(), if sweep_at.is_none() => {
                sweep_at = Some(Instant::now() + SWEEP_EVERY);
                continue;
            }
            () = sleep_until(sweep_at.unwrap_or_else(Instant::now)), if sweep_at.is_some() => {
                sweep_at = cache.pack_unasked().await.then(|| Instant::now() + SWEEP_EVERY);
                continue;
            }
        };
        match event {
            Ok(Event::Added(mut object) | Event::Modified(mut object)) => {
                cache.trim(&mut object);
                let revision = object.resource_version().to_owned();
                cache.put(Arc::new(object));
                cache.advance(&revision, false);
            }
            Ok(Event::Deleted(object)) => {
                cache.remove(key_of(object.metadata()));
                cache.advance(object.resource_version(), false);
            }
            Ok(Event::Bookmark { resource_version, .. }) => cache.advance(&resource_version, false),
            Err(e) => return e,
        }
    }
}
