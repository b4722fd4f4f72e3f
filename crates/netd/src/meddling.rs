//! Noticing what others do to the host's network: a firewall's restart that flushes all nftables rules, links that come and go.

use net_link::events::Events;
use net_link::netlink::Result;
use net_link::pod::link_prefix;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::kernel::table_name;

pub(crate) enum Meddled {
    WithTable,
    WithLinks,
}

/// Either ear may be deaf (a kernel that refuses it): then what it would hear goes unnoticed until the next change.
pub(crate) struct Meddling {
    table: Option<AsyncFd<Events>>,
    links: Option<AsyncFd<Events>>,
}

impl Meddling {
    pub(crate) fn open(cluster: &str) -> Self {
        Meddling { table: ear(Events::of_table(&table_name(cluster))), links: ear(Events::of_other_links(&link_prefix(cluster))) }
    }

    /// The next thing that concerns this cluster. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Meddled {
        tokio::select! {
            () = heard(&mut self.table) => Meddled::WithTable,
            () = heard(&mut self.links) => Meddled::WithLinks,
        }
    }
}

fn ear(events: Result<Events>) -> Option<AsyncFd<Events>> {
    let events = events.inspect_err(|error| tracing::warn!(%error, "changes by others will go unnoticed")).ok()?;
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; `Events` owns its one descriptor for as long as it lives, which is all that asks"
    )]
    AsyncFd::try_with_interest(events, Interest::READABLE).ok()
}

async fn heard(ear: &mut Option<AsyncFd<Events>>) {
    while let Some(events) = ear {
        let Ok(mut ready) = events.readable_mut().await else { break };
        let outcome = ready.get_inner_mut().drain();
        ready.clear_ready();
        match outcome {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "changes by others will go unnoticed");
                *ear = None;
            }
        }
    }
    std::future::pending().await
}
