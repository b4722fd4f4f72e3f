//! The fixed part of coracle's table: its chains, rules and maps. What changes with services are map elements only.
//!
//! ```text
//!  prerouting ─┐                    ┌ inside4 {ip proto port → id n mode} ─ pods only ─▶ inclass4 {n mode → chain}
//!  output ─────┴▶ pick a front ─────┴ front4  {ip proto port → id n mode} ─────────────▶ class4   {n mode → chain}
//!       chain for (n, mode): random number below n ▶ slot4 {id number → ip port} ▶ dnat
//!  input, forward, output: reject4, drop4, and the rest of the service ranges
//!  postrouting: masquerade what was marked, hairpin4, and what leaves the pods for elsewhere
//! ```
//! Each exists twice, for IPv4 and IPv6. The id names a target, which several fronts share.
//!
//! Why the chain is found by a second map: a map that holds verdicts makes the kernel walk the whole of it at each change,
//! so the large map holds data, and the small one the verdicts.

use net_link::nft::expr::{Dynamic, Expr, Meta, Register, STATE_NEW, Tracked, Verdict};
use net_link::nft::{Base, Batch, ChainKind, Data, Holds, Hook, Part, Set, Shape};
use object::cidr::Cidr;

use super::Settings;
use super::class::{Class, FAMILIES, Family};
use super::encode::{address_bytes, range_elements};

/// Marks a packet for masquerading on its way through. The bit is upstream kube-proxy's.
const MASQUERADE_BIT: u32 = 0x4000;
const BEFORE_DNAT: i32 = -110;
const DNAT: i32 = -100;
const FILTER: i32 = 0;
const SNAT: i32 = 100;
/// Clients remembered for session affinity, a family; one more is not remembered until another is forgotten.
const STICKY_CLIENTS_MAX: u32 = 1 << 16;

/// Names of sets and maps whose elements come from rows.
pub(super) const ROW_MAPS: [&str; 7] = ["front", "inside", "slot", "live", "reject", "drop", "hairpin"];

fn sets(family: Family) -> Vec<Set> {
    let address = family.address_part();
    let front = || vec![address, Part::Protocol, Part::Port];
    let picked = || Holds::Value(vec![Part::Number; 4]);
    let backend = || Holds::Value(vec![address, Part::Port]);
    let sticky = Shape::Dynamic { size: STICKY_CLIENTS_MAX, timeout_ms: 10_800_000 };
    let rows: [(&str, Vec<Part>, Holds, Shape); 14] = [
        ("front", front(), picked(), Shape::Hash),
        ("inside", front(), picked(), Shape::Hash),
        ("class", vec![Part::Number; 2], Holds::Verdict, Shape::Hash),
        ("inclass", vec![Part::Number; 2], Holds::Verdict, Shape::Hash),
        ("slot", vec![Part::Number; 3], backend(), Shape::Hash),
        ("live", vec![Part::Number, Part::Number, address, Part::Port], Holds::Nothing, Shape::Hash),
        ("affinity", vec![address, Part::Number, Part::Number], backend(), sticky),
        ("reject", front(), Holds::Nothing, Shape::Hash),
        ("drop", front(), Holds::Nothing, Shape::Hash),
        ("hairpin", vec![address, address], Holds::Nothing, Shape::Hash),
        ("pods", vec![address], Holds::Nothing, Shape::Ranges),
        ("ownpods", vec![address], Holds::Nothing, Shape::Ranges),
        ("services", vec![address], Holds::Nothing, Shape::Ranges),
        ("dns", vec![address], Holds::Nothing, Shape::Hash),
    ];
    rows.into_iter().map(|(name, key, holds, shape)| Set { name: family.named(name), key, holds, shape }).collect()
}

/// Everything but ranges, rows and the chains that pick.
pub(super) fn write(batch: &mut Batch, settings: &Settings) {
    for family in FAMILIES {
        for set in sets(family) {
            batch.add_set(&set);
        }
    }
    for family in FAMILIES {
        for chain in ["services", "outgoing", "lookup", "unserved"] {
            batch.add_chain(&family.named(chain), None);
        }
    }
    let nat = |hook, priority| Some(Base { kind: ChainKind::Nat, hook, priority });
    let filter = |hook, priority| Some(Base { kind: ChainKind::Filter, hook, priority });
    batch.add_chain("guard", filter(Hook::Prerouting, BEFORE_DNAT));
    batch.add_chain("prerouting", nat(Hook::Prerouting, DNAT));
    batch.add_chain("output", nat(Hook::Output, DNAT));
    batch.add_chain("postrouting", nat(Hook::Postrouting, SNAT));
    batch.add_chain("filter-input", filter(Hook::Input, FILTER));
    batch.add_chain("filter-forward", filter(Hook::Forward, FILTER));
    batch.add_chain("filter-output", filter(Hook::Output, FILTER));
    write_guard(batch, settings);
    write_postrouting_of_marked(batch);
    write_postrouting_of_loopback(batch, settings);
    for family in FAMILIES {
        write_lookups(batch, family);
        write_unserved(batch, family);
        write_postrouting(batch, family, settings);
        for (base, chain) in [("prerouting", "services"), ("output", "outgoing")] {
            batch.add_rule(base, &rule(&[&of_family(family), &[Expr::Verdict(Verdict::Jump(family.named(chain)))]]));
        }
        for base in ["filter-input", "filter-forward", "filter-output"] {
            let new = [
                Expr::Tracked { to: 0, key: Tracked::State },
                Expr::Bitwise { from: 0, to: 0, mask: &STATE_NEW.to_ne_bytes(), xor: &[0; 4] },
                Expr::Differs { from: 0, value: &[0; 4] },
            ];
            batch.add_rule(base, &rule(&[&of_family(family), &new, &[Expr::Verdict(Verdict::Jump(family.named("unserved")))]]));
        }
    }
}

/// The sets that come from settings. A node learns its own pod ranges late, so they are written anew rather than the table.
pub(super) fn write_ranges(batch: &mut Batch, settings: &Settings) {
    for family in FAMILIES {
        for set in ["pods", "ownpods", "services", "dns"] {
            batch.empty_set(&family.named(set));
        }
        write_ranges_of(batch, family, settings);
    }
}

fn write_ranges_of(batch: &mut Batch, family: Family, settings: &Settings) {
    let of_family = |cidrs: &[Cidr]| cidrs.iter().copied().filter(|cidr| cidr.is_ipv4() == family.ipv4).collect::<Vec<_>>();
    for (set, cidrs) in [("pods", &settings.cluster_pod_cidrs), ("ownpods", &settings.pod_cidrs), ("services", &settings.service_cidrs)] {
        let elements = range_elements(&of_family(cidrs));
        let data = |ends| if ends { Data::EndsRange } else { Data::Nothing };
        batch.add_elements(&family.named(set), elements.iter().map(|(key, ends)| (key.as_slice(), data(*ends))));
    }
    let dns: Vec<Vec<u8>> = settings.dns_addresses.iter().filter(|ip| ip.is_ipv4() == family.ipv4).map(|ip| address_bytes(*ip)).collect();
    batch.add_elements(&family.named("dns"), dns.iter().map(|key| (key.as_slice(), Data::Nothing)));
}

fn rule<'a>(parts: &[&[Expr<'a>]]) -> Vec<Expr<'a>> {
    parts.concat()
}

fn of_family(family: Family) -> [Expr<'static>; 2] {
    let value: &[u8] = if family.ipv4 { &[2] } else { &[10] };
    [Expr::Meta { to: 0, key: Meta::NetworkProtocol }, Expr::Equals { from: 0, value }]
}

/// Host-local services that listen on loopback only must not be open to pods, although `route_localnet` is set on their
/// links (host ports on 127.0.0.1 need it; see CVE-2020-8558).
fn write_guard(batch: &mut Batch, settings: &Settings) {
    let family = FAMILIES[0];
    batch.add_rule(
        "guard",
        &rule(&[
            &of_family(family),
            &[
                Expr::Meta { to: 0, key: Meta::IncomingName },
                Expr::Equals { from: 0, value: settings.pod_link_prefix.as_bytes() },
                family.destination(4),
                Expr::Equals { from: 4, value: &[127] },
                Expr::Verdict(Verdict::Drop),
            ],
        ]),
    );
}

fn write_lookups(batch: &mut Batch, family: Family) {
    let [front, inside, class, inclass, pods] = ["front", "inside", "class", "inclass", "pods"].map(|map| family.named(map));
    let key = family.front_key();
    let from_pod = [family.source(0), Expr::IsIn { set: &pods, key: 0 }];
    let load_inside = [Expr::Load { map: &inside, key: 0, to: family.id() }];
    let follow_inside = [Expr::Follow { map: &inclass, key: family.n() }];
    let lookup = family.named("lookup");
    batch.add_rule(
        &lookup,
        &rule(&[&key, &[Expr::Load { map: &front, key: 0, to: family.id() }, Expr::Follow { map: &class, key: family.n() }]]),
    );
    let services = family.named("services");
    batch.add_rule(&services, &rule(&[&from_pod, &key, &load_inside, &follow_inside]));
    batch.add_rule(&services, &[Expr::Verdict(Verdict::Goto(lookup.clone()))]);
    // From this node itself: the source may be an address that a pod cannot answer to.
    let outgoing = family.named("outgoing");
    batch.add_rule(&outgoing, &rule(&[&key, &load_inside, &mark()]));
    batch.add_rule(&outgoing, &rule(&[&key, &load_inside, &follow_inside]));
    batch.add_rule(&outgoing, &[Expr::Verdict(Verdict::Goto(lookup))]);
}

const MARK: [u8; 4] = MASQUERADE_BIT.to_ne_bytes();
const NOT_MARK: [u8; 4] = (!MASQUERADE_BIT).to_ne_bytes();

fn mark() -> [Expr<'static>; 3] {
    [
        Expr::Meta { to: 0, key: Meta::Mark },
        // All other bits stay, ours becomes one: (mark & !bit) ^ bit.
        Expr::Bitwise { from: 0, to: 0, mask: &NOT_MARK, xor: &MARK },
        Expr::SetMark { from: 0 },
    ]
}

/// New connections that no backend took.
fn write_unserved(batch: &mut Batch, family: Family) {
    let chain = family.named("unserved");
    let [reject, drop, services, dns] = ["reject", "drop", "services", "dns"].map(|set| family.named(set));
    let key = family.front_key();
    batch.add_rule(&chain, &rule(&[&key, &[Expr::IsIn { set: &drop, key: 0 }, Expr::Verdict(Verdict::Drop)]]));
    batch.add_rule(&chain, &rule(&[&key, &[Expr::IsIn { set: &reject, key: 0 }, Expr::RejectPort]]));
    // Whatever else is sent to a service range would circle on the host's own route to it, or reach a host's open port.
    let stray = [family.destination(0), Expr::IsIn { set: &services, key: 0 }, Expr::IsNotIn { set: &dns, key: 0 }, Expr::RejectPort];
    batch.add_rule(&chain, &stray);
}

/// A host port on 127.0.0.1 leads to a pod, which cannot answer to that address.
fn write_postrouting_of_loopback(batch: &mut Batch, settings: &Settings) {
    let family = FAMILIES[0];
    let leaves_for_pod = [
        Expr::Meta { to: 0, key: Meta::OutgoingName },
        Expr::Equals { from: 0, value: settings.pod_link_prefix.as_bytes() },
        family.source(4),
        Expr::Equals { from: 4, value: &[127] },
        Expr::Masquerade,
    ];
    batch.add_rule("postrouting", &rule(&[&of_family(family), &leaves_for_pod]));
}

fn write_postrouting_of_marked(batch: &mut Batch) {
    batch.add_rule(
        "postrouting",
        &[
            Expr::Meta { to: 0, key: Meta::Mark },
            Expr::Bitwise { from: 0, to: 1, mask: &MARK, xor: &[0; 4] },
            Expr::Differs { from: 1, value: &[0; 4] },
            Expr::Bitwise { from: 0, to: 0, mask: &NOT_MARK, xor: &[0; 4] },
            Expr::SetMark { from: 0 },
            Expr::Masquerade,
        ],
    );
}

fn write_postrouting(batch: &mut Batch, family: Family, settings: &Settings) {
    let [hairpin, pods, own_pods] = ["hairpin", "pods", "ownpods"].map(|set| family.named(set));
    let to_itself = [family.source(0), family.destination(family.width), Expr::IsIn { set: &hairpin, key: 0 }, Expr::Masquerade];
    batch.add_rule("postrouting", &rule(&[&of_family(family), &to_itself]));
    // The other end's answer must come back through the tunnel, not by the way that leads to this node's address.
    let mut tunnel = settings.tunnel_link.clone().into_bytes();
    tunnel.push(0);
    let enters_tunnel = [
        Expr::Meta { to: 0, key: Meta::OutgoingName },
        Expr::Equals { from: 0, value: &tunnel },
        family.source(0),
        Expr::IsNotIn { set: &pods, key: 0 },
        Expr::Masquerade,
    ];
    batch.add_rule("postrouting", &rule(&[&of_family(family), &enters_tunnel]));
    let leaves = [
        family.source(0),
        Expr::IsIn { set: &own_pods, key: 0 },
        family.destination(0),
        Expr::IsNotIn { set: &pods, key: 0 },
        Expr::Masquerade,
    ];
    batch.add_rule("postrouting", &rule(&[&of_family(family), &leaves]));
}

impl Class {
    /// The chain, its rules, and the way to it.
    pub(super) fn write(self, batch: &mut Batch) {
        let family = self.family();
        let chain = self.chain();
        batch.add_chain(&chain, None);
        if self.masquerade {
            batch.add_rule(&chain, &mark());
        }
        let fronts = family.named(if self.is_inside { "inside" } else { "front" });
        let load: Vec<Expr<'_>> = rule(&[&family.front_key(), &[Expr::Load { map: &fronts, key: 0, to: family.id() }]]);
        match self.sticky_seconds {
            Some(seconds) => write_sticky_rules(batch, &chain, family, &load, self.n, seconds),
            None => {
                let slots = family.named("slot");
                for number in numbers(self.n, family.n()) {
                    batch.add_rule(&chain, &rule(&[&load, &[number], &pick(family, &slots), &[dnat(family, family.n() + 1)]]));
                }
            }
        }
        let verdict = Verdict::Goto(chain);
        batch.add_elements(&self.map(), [(self.key().as_slice(), Data::Verdict(&verdict))]);
    }
}

/// A random slot; and, for the moment in which a change is halfway through and that slot is gone, the first.
fn numbers(n: u32, to: Register) -> [Expr<'static>; 2] {
    [Expr::Random { to, modulus: n }, Expr::Constant { to, value: &[0; 4] }]
}

/// The number stands where n stood, right behind the id; what the slot holds is loaded behind it.
fn pick(family: Family, slots: &str) -> [Expr<'_>; 1] {
    [Expr::Load { map: slots, key: family.id(), to: family.n() + 1 }]
}

fn dnat(family: Family, address: Register) -> Expr<'static> {
    Expr::Dnat { ipv4: family.ipv4, address, port: address + family.width }
}

/// A client's address and the id are neighbours (the address ends where the id begins), and so are the id and the
/// remembered backend: the first pair is the key of what is remembered, the second of what is still a backend.
fn write_sticky_rules(batch: &mut Batch, chain: &str, family: Family, load: &[Expr<'_>], n: u32, seconds: u32) {
    let [affinity, live, slots] = ["affinity", "live", "slot"].map(|map| family.named(map));
    let client = family.id() - family.width;
    let behind_id = family.id() + 2;
    let timeout_ms = u64::from(seconds) * 1000;
    let remember = |operation, data| Expr::Dynamic { set: &affinity, operation, key: client, data: Some(data), timeout_ms };
    batch.add_rule(
        chain,
        &rule(&[
            load,
            &[
                family.source(client),
                Expr::Load { map: &affinity, key: client, to: behind_id },
                Expr::IsIn { set: &live, key: family.id() },
                remember(Dynamic::Update, behind_id),
                dnat(family, behind_id),
            ],
        ]),
    );
    // What is remembered is no backend any more. (The kernel wants a data register here too; any that is filled will do.)
    batch.add_rule(
        chain,
        &rule(&[
            load,
            &[
                family.source(client),
                Expr::Dynamic { set: &affinity, operation: Dynamic::Delete, key: client, data: Some(0), timeout_ms: 0 },
            ],
        ]),
    );
    for number in numbers(n, family.n()) {
        let backend = family.n() + 1;
        batch.add_rule(
            chain,
            &rule(&[
                load,
                &[number],
                &pick(family, &slots),
                &[family.source(client), remember(Dynamic::Add, backend), dnat(family, backend)],
            ]),
        );
    }
}
