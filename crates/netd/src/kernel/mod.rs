//! coracle's table in the kernel: it is made whole at once, kept by small changes, and taken over as it stands after a crash.
//!
//! Not here: what should stand in it (`net_plan::table`).
//! Invariant: only the table of this cluster is touched. A change is carried out whole or not at all; after a refusal `adopt`
//! compares everything anew.

mod class;
mod encode;
mod layout;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use net_link::netlink::Result;
use net_link::nft::{Batch, Data, NftSocket};
use net_plan::table::{Change, Row};
use object::cidr::Cidr;

use class::{Class, FAMILIES};
use encode::Element;

/// What the fixed part of the table is made from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the table; see `table_name`.
    pub table: String,
    /// Ranges of all pods: traffic between pods keeps its source.
    pub cluster_pod_cidrs: Vec<Cidr>,
    /// Ranges of this node's pods.
    pub pod_cidrs: Vec<Cidr>,
    pub service_cidrs: Vec<Cidr>,
    /// Addresses within the service ranges at which this node itself answers DNS.
    pub dns_addresses: Vec<IpAddr>,
    /// First letters of the names of pod links.
    pub pod_link_prefix: String,
    /// Link that leads to other nodes' pods in packets of its own.
    pub tunnel_link: String,
}

/// The table of a cluster. The first, or only, cluster of a host is called `coracle`.
pub fn table_name(cluster: &str) -> String {
    if cluster == "coracle" { "coracle".to_owned() } else { format!("coracle-{cluster}") }
}

/// Addresses that another cluster of this network namespace uses, for pods or services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub table: String,
    pub range: RangeInclusive<IpAddr>,
}

/// What clusters other than `cluster` have written into their tables, running or not.
pub fn ranges_of_others(cluster: &str) -> Result<Vec<Taken>> {
    let mut socket = NftSocket::open()?;
    let own = table_name(cluster);
    let is_other = |table: &String| (table == "coracle" || table.starts_with("coracle-")) && *table != own;
    let mut taken = Vec::new();
    for table in socket.tables()?.into_iter().filter(is_other) {
        for set in FAMILIES.iter().flat_map(|family| [family.named("pods"), family.named("services")]) {
            let rows = match socket.elements(&table, &set) {
                Err(error) if error.is_absent() => continue,
                rows => rows?,
            };
            let elements = rows.into_iter().map(|row| (row.key, row.ends_range)).collect();
            taken.extend(encode::ranges(elements).into_iter().map(|range| Taken { table: table.clone(), range }));
        }
    }
    Ok(taken)
}

pub struct KernelTable {
    settings: Settings,
    socket: NftSocket,
    classes: HashSet<Class>,
}

type Elements = HashMap<Vec<u8>, Vec<u8>>;

impl KernelTable {
    /// Brings the kernel to exactly these rows, by as little as that takes.
    pub fn adopt(settings: Settings, rows: impl Iterator<Item = Row>) -> Result<Self> {
        let mut table = KernelTable { settings, socket: NftSocket::open()?, classes: HashSet::new() };
        table.bring_to(rows)?;
        Ok(table)
    }

    /// The same for a table that is open already, after a change was refused or somebody else meddled.
    pub fn bring_to(&mut self, rows: impl Iterator<Item = Row>) -> Result<()> {
        let mut wanted: HashMap<(&'static str, bool), Elements> = HashMap::new();
        let mut classes = HashSet::new();
        for row in rows {
            classes.extend(encode::classes(&row));
            for Element { map, ipv4, key, value } in encode::elements(&row) {
                wanted.entry((map, ipv4)).or_default().insert(key, value);
            }
        }
        let mark = self.mark();
        let facts = self.socket.table(&self.settings.table)?;
        let is_ours = facts.as_ref().is_some_and(|facts| facts.mark == mark);
        let mut batch = Batch::new(&self.settings.table);
        let found = if is_ours {
            self.classes = self.found_classes()?;
            self.found_elements()?
        } else {
            // A table of another version, or none: one batch replaces it, and connections that stand go on.
            if facts.is_some() {
                batch.delete_table();
            }
            batch.add_table(&mark);
            layout::write(&mut batch, &self.settings);
            self.classes = HashSet::new();
            classes.extend(class::common_classes());
            HashMap::new()
        };
        layout::write_ranges(&mut batch, &self.settings);
        self.add_classes(&mut batch, classes);
        let nothing = Elements::new();
        for family in FAMILIES {
            for map in layout::ROW_MAPS {
                let at = (map, family.ipv4);
                let differences = (found.get(&at).unwrap_or(&nothing), wanted.get(&at).unwrap_or(&nothing));
                write_difference(&mut batch, &family.named(map), differences.0, differences.1);
            }
        }
        self.socket.commit(batch)
    }

    pub fn apply(&mut self, change: &Change) -> Result<()> {
        let mut batch = Batch::new(&self.settings.table);
        let before = self.classes.clone();
        self.add_classes(&mut batch, change.add.iter().flat_map(encode::classes).collect());
        let delete: Vec<Element> = change.delete.iter().flat_map(encode::elements).collect();
        let add: Vec<Element> = change.add.iter().flat_map(encode::elements).collect();
        // A front that goes from one backend to two is taken out and put in again with the same key: out goes first.
        for (map, elements) in by_map(&delete) {
            batch.delete_elements(&map, elements.iter().map(|element| element.key.as_slice()));
        }
        for (map, elements) in by_map(&add) {
            batch.add_elements(&map, elements.iter().map(|element| (element.key.as_slice(), data(&element.value))));
        }
        let outcome = self.socket.commit(batch);
        if outcome.is_err() {
            self.classes = before;
        }
        outcome
    }

    /// Removes the table of a cluster, if there is one.
    pub fn remove(table: &str) -> Result<()> {
        let mut batch = Batch::new(table);
        batch.add_table(&[]);
        batch.delete_table();
        NftSocket::open()?.commit(batch)
    }

    /// The fixed part in short: another version of coracle gives another mark.
    fn mark(&self) -> Vec<u8> {
        let mut batch = Batch::new(&self.settings.table);
        layout::write(&mut batch, &self.settings);
        batch.add_chain("end", None);
        Class { ipv4: true, is_inside: false, n: 2, sticky_seconds: Some(1), masquerade: true }.write(&mut batch);
        batch.digest().to_be_bytes().to_vec()
    }

    fn add_classes(&mut self, batch: &mut Batch, wanted: HashSet<Class>) {
        let mut missing: Vec<Class> = wanted.difference(&self.classes).copied().collect();
        missing.sort();
        for class in missing {
            class.write(batch);
            self.classes.insert(class);
        }
    }

    fn found_classes(&mut self) -> Result<HashSet<Class>> {
        let mut classes = HashSet::new();
        for (family, map, is_inside) in FAMILIES.iter().flat_map(|family| [(family, "class", false), (family, "inclass", true)]) {
            let rows = self.socket.elements(&self.settings.table, &family.named(map))?;
            classes.extend(rows.iter().filter_map(|row| Class::from_key(family.ipv4, is_inside, &row.key)));
        }
        Ok(classes)
    }

    fn found_elements(&mut self) -> Result<HashMap<(&'static str, bool), Elements>> {
        let mut found = HashMap::new();
        for family in FAMILIES {
            for map in layout::ROW_MAPS {
                let rows = self.socket.elements(&self.settings.table, &family.named(map))?;
                found.insert((map, family.ipv4), rows.into_iter().map(|row| (row.key, row.value)).collect());
            }
        }
        Ok(found)
    }
}

fn data(value: &[u8]) -> Data<'_> {
    if value.is_empty() { Data::Nothing } else { Data::Value(value) }
}

fn write_difference(batch: &mut Batch, map: &str, found: &Elements, wanted: &Elements) {
    let stale = found.iter().filter(|(key, value)| wanted.get(*key) != Some(*value));
    batch.delete_elements(map, stale.map(|(key, _)| key.as_slice()));
    let missing = wanted.iter().filter(|(key, value)| found.get(*key) != Some(*value));
    batch.add_elements(map, missing.map(|(key, value)| (key.as_slice(), data(value))));
}

fn by_map(elements: &[Element]) -> Vec<(String, Vec<&Element>)> {
    let mut maps: Vec<(String, Vec<&Element>)> = Vec::new();
    for element in elements {
        let name = encode::family(element.ipv4).named(element.map);
        match maps.iter_mut().find(|(found, _)| *found == name) {
            Some((_, list)) => list.push(element),
            None => maps.push((name, vec![element])),
        }
    }
    maps
}
