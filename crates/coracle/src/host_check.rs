//! What this host lacks, said before anything is started: fatal lacks stop the start, others are warnings; each names its way out.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use object::cidr::Cidr;
use oci_runtime::status::Severity;

use crate::failure::Failure;
use crate::options::{Place, Ranges};

pub(crate) fn run(place: &Place) -> Result<(), Failure> {
    let mut fatal = Vec::new();
    for lack in oci_runtime::probe::probe(&place.data_dir) {
        report(lack.severity == Severity::Fatal, format!("{}; {}", lack.meaning, lack.way_out), &mut fatal);
    }
    for finding in netd::probe::findings() {
        report(finding.is_fatal, finding.text, &mut fatal);
    }
    match fatal.as_slice() {
        [] => Ok(()),
        lacks => Err(Failure::new(format!("this host cannot run pods: {}", lacks.join(" | ")))),
    }
}

/// Two clusters may share a network namespace, but not addresses: each would take the other's packets.
pub(crate) fn no_other_cluster(place: &Place, pods: &Ranges, services: &Ranges) -> Result<(), Failure> {
    let taken = netd::kernel::ranges_of_others(&place.tag()).map_err(|e| Failure::caused("cannot read the network's tables", &e))?;
    let meets = |own: &Cidr, other: &RangeInclusive<IpAddr>| own.network() <= *other.end() && *other.start() <= own.last();
    let clash = |ours: &Ranges| taken.iter().find(|other| ours.0.iter().any(|own| meets(own, &other.range)));
    for (flag, example, ours) in
        [("--pod-cidr", "10.245.0.0/16,fd00:10:245::/56", pods), ("--service-cidr", "10.97.0.0/16,fd00:10:97::/112", services)]
    {
        if let Some(other) = clash(ours) {
            let text = format!(
                "{flag}: {} overlaps with {}, which another cluster on this host uses (nftables table `{}`)",
                ours.texts().join(","),
                shown(&other.range),
                other.table,
            );
            return Err(Failure::new(text).hint(format!("{flag} {example}; or end the other one: coracle reset --name NAME")));
        }
    }
    Ok(())
}

fn shown(range: &RangeInclusive<IpAddr>) -> String {
    format!("{} to {}", range.start(), range.end())
}

fn report(is_fatal: bool, text: String, fatal: &mut Vec<String>) {
    if is_fatal {
        fatal.push(text);
    } else {
        tracing::warn!(lack = text, "this host lacks something");
    }
}
