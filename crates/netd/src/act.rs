//! Carrying plans out on the host, away from the async threads.
//!
//! A refused change is not tried again as it was: the next turn compares the kernel with the whole table.

use std::net::SocketAddr;

use net_link::conntrack::{Flow, forget_udp};
use net_link::netlink::Result;
use net_link::route::{Changes, Ipv4Setting, LinkSettings, RouteSocket};
use net_plan::node_routes::Peer;
use net_plan::table::{Change, Row, Stale};

use crate::host::{self, HostSettings};
use crate::kernel::{KernelTable, Settings};

/// What one turn has to do.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) table: TableWork,
    /// Links and routes, when something about nodes changed.
    pub(crate) routes: Option<(HostSettings, Vec<Peer>)>,
    /// Links of pods that are reached through the node's loopback address.
    pub(crate) loopback_links: Vec<String>,
}

#[derive(Default)]
pub(crate) enum TableWork {
    #[default]
    Nothing,
    Change(Change),
    /// All that should stand, when what stands is not known.
    Whole(Box<Settings>, Vec<Row>, Vec<Stale>),
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.table, TableWork::Nothing) && self.routes.is_none() && self.loopback_links.is_empty()
    }
}

/// Returns the table that is now open, or `None` when it must be compared anew, and the first fault.
pub(crate) fn carry_out(table: Option<KernelTable>, work: Work) -> (Option<KernelTable>, Result<()>) {
    let (table, outcome) = carry_out_table(table, work.table);
    let outcome = outcome.and_then(|()| {
        if let Some((settings, peers)) = &work.routes {
            host::set_up_services(settings)?;
            host::set_routes(settings, peers)?;
        }
        open_to_loopback(&work.loopback_links)
    });
    (table, outcome)
}

fn carry_out_table(table: Option<KernelTable>, work: TableWork) -> (Option<KernelTable>, Result<()>) {
    match (work, table) {
        (TableWork::Nothing, table) => (table, Ok(())),
        (TableWork::Change(change), Some(mut table)) => match table.apply(&change).and_then(|()| forget(&change.stale)) {
            Ok(()) => (Some(table), Ok(())),
            Err(error) => (None, Err(error)),
        },
        // Cannot come about: without an open table the turn hands over the whole.
        (TableWork::Change(_), None) => (None, Ok(())),
        (TableWork::Whole(settings, rows, stale), _) => match KernelTable::adopt(*settings, rows.into_iter()) {
            Ok(table) => (Some(table), forget(&stale)),
            Err(error) => (None, Err(error)),
        },
    }
}

/// Lets packets from 127.0.0.0/8 go out on these links. The table's guard keeps pods from the host's loopback services, so
/// it stands before.
pub fn open_to_loopback(links: &[String]) -> Result<()> {
    let mut socket = RouteSocket::open()?;
    for link in links {
        let settings = LinkSettings { ipv4: &[(Ipv4Setting::RouteLocalnet, 1)], ..LinkSettings::default() };
        socket.commit_if_present(Changes::default().set_link(link, &settings))?;
    }
    Ok(())
}

/// Forgets UDP flows that lead to former backends.
pub fn forget(stale: &[Stale]) -> Result<()> {
    for ipv4 in [true, false] {
        let of_family: Vec<&Stale> = stale.iter().filter(|stale| stale.front.ip.is_ipv4() == ipv4).collect();
        if !of_family.is_empty() {
            let n_flows = forget_udp(ipv4, |flow| of_family.iter().any(|stale| is_stale(stale, flow)))?;
            tracing::debug!(n_flows, "forgot flows to former backends");
        }
    }
    Ok(())
}

fn is_stale(stale: &Stale, flow: &Flow) -> bool {
    SocketAddr::new(stale.front.ip, stale.front.port) == flow.to && !stale.keep.contains(&flow.answered_by)
}
