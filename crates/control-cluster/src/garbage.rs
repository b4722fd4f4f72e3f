//! The garbage collector: objects whose owners are gone go too, in the way the owner's deletion asked for.
//!
//! `Graph` holds who owns whom, from the metadata of everything; `plan` decides about one object (upstream: `garbagecollector.go`).
//!
//! ```text
//!   no owner is left               --> delete it (background, or as its own finalizer says)
//!   an owner waits for its dependents (foreground) --> delete it, foreground when it has dependents itself
//!   some owners are gone, one is solid             --> drop the references to those gone
//!   it waits for its dependents itself             --> none blocks any more: drop its finalizer
//!   it orphans its dependents                      --> drop their references to it, then its finalizer
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Change, DeleteOptions, Note, PatchKind, Plan, Propagation, Reference, Write, key_of};
use serde_json::{Value, json};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// One object, as far as owning goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Shared by all of a kind.
    pub resource: Arc<GroupVersionResource>,
    pub kind: Arc<str>,
    pub key: ObjectKey,
    pub uid: Arc<str>,
    resource_version: String,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
    is_leaving: bool,
}

impl Item {
    pub fn new(resource: &Arc<GroupVersionResource>, kind: &Arc<str>, metadata: &ObjectMeta) -> Self {
        Item {
            resource: Arc::clone(resource),
            kind: Arc::clone(kind),
            key: key_of(metadata),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            owners: metadata.owner_references.clone().unwrap_or_default(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            is_leaving: metadata.deletion_timestamp.is_some(),
        }
    }

    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }

    fn waits_for_dependents(&self) -> bool {
        self.is_leaving && self.has(FOREGROUND)
    }

    fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|o| o.uid == owner && o.block_owner_deletion == Some(true))
    }

    fn reference(&self) -> Reference {
        let group = if self.resource.group.is_empty() { String::new() } else { format!("{}/", self.resource.group) };
        Reference {
            api_version: format!("{group}{}", self.resource.version),
            kind: self.kind.to_string(),
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            uid: self.uid.to_string(),
            resource_version: self.resource_version.clone(),
            field_path: String::new(),
        }
    }
}

#[derive(Debug, Default)]
pub struct Graph {
    items: BTreeMap<Arc<str>, Item>,
    /// Who names this uid as an owner; the owner itself may be unknown.
    dependents: BTreeMap<String, BTreeSet<String>>,
    /// What went lately, oldest first: uids never come back, so nobody needs to ask the server about these.
    gone: VecDeque<String>,
    is_gone: BTreeSet<String>,
}

/// Enough for the dependents of what goes at once; what is forgotten is asked for.
const GONE_MAX: usize = 4096;

impl Graph {
    /// Takes an object in; answers the uids that must be looked at.
    pub fn put(&mut self, item: Item) -> Vec<String> {
        let mut affected = Vec::new();
        let old = self.items.get(&item.uid);
        let (old_owners, was_leaving, was_waiting) =
            old.map_or((Vec::new(), false, false), |old| (old.owners.clone(), old.is_leaving, old.waits_for_dependents()));
        let has_new_owners = old_owners != item.owners;
        for owner in &old_owners {
            self.unlink(&owner.uid, &item.uid);
            if has_new_owners {
                self.add_waiting(&owner.uid, &mut affected);
            }
        }
        for owner in &item.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(item.uid.to_string());
        }
        let is_changed = has_new_owners || was_leaving != item.is_leaving || was_waiting != item.waits_for_dependents();
        if is_changed && (!item.owners.is_empty() || item.is_leaving) {
            affected.push(item.uid.to_string());
        }
        if was_leaving != item.is_leaving || was_waiting != item.waits_for_dependents() {
            affected.extend(self.dependents_of(&item.uid));
        }
        if item.is_leaving && !was_leaving {
            item.owners.iter().for_each(|owner| self.add_waiting(&owner.uid, &mut affected));
        }
        self.items.insert(item.uid.clone(), item);
        affected
    }

    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(item) = self.items.remove(uid) else { return Vec::new() };
        self.gone.push_back(uid.to_owned());
        self.is_gone.insert(uid.to_owned());
        if self.gone.len() > GONE_MAX
            && let Some(oldest) = self.gone.pop_front()
        {
            self.is_gone.remove(&oldest);
        }
        let mut affected: Vec<String> = self.dependents_of(uid).collect();
        for owner in &item.owners {
            self.unlink(&owner.uid, uid);
            self.add_waiting(&owner.uid, &mut affected);
        }
        affected
    }

    /// Owners of an object that the graph does not hold where the object could own them: somebody must look for them.
    pub fn unknown_owners(&self, uid: &str) -> Vec<(Item, OwnerReference)> {
        let Some(item) = self.items.get(uid) else { return Vec::new() };
        let is_unknown = |owner: &&OwnerReference| self.owner(item, owner).is_none() && !self.is_gone.contains(&owner.uid);
        item.owners.iter().filter(is_unknown).map(|owner| (item.clone(), owner.clone())).collect()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// An owner counts only in the dependent's own namespace, or cluster-wide.
    fn owner(&self, item: &Item, owner: &OwnerReference) -> Option<&Item> {
        let found = self.items.get(owner.uid.as_str())?;
        let is_in_reach = found.key.namespace.is_empty() || found.key.namespace == item.key.namespace;
        (is_in_reach && *found.kind == *owner.kind).then_some(found)
    }

    fn dependents_of(&self, uid: &str) -> impl Iterator<Item = String> {
        self.dependents.get(uid).cloned().unwrap_or_default().into_iter()
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    fn add_waiting(&self, uid: &str, affected: &mut Vec<String>) {
        if self.items.get(uid).is_some_and(|owner| owner.is_leaving) {
            affected.push(uid.to_owned());
        }
    }
}

/// What the server says of an owner that the graph does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Absent,
    Present,
    /// Its kind is not served, or it could not exist (a namespaced owner of a cluster-wide object): hands off.
    Unknown,
}

/// Decides about one object. `lookup` is asked about each of `Graph::unknown_owners`.
pub fn plan(graph: &Graph, uid: &str, lookup: &dyn Fn(&OwnerReference) -> Lookup) -> Plan {
    let Some(item) = graph.items.get(uid) else { return Plan::nothing() };
    if item.is_leaving {
        return if item.has(ORPHAN) {
            orphan_dependents(graph, item)
        } else if item.has(FOREGROUND) {
            await_dependents(graph, item)
        } else {
            Plan::nothing()
        };
    }
    if item.owners.is_empty() { Plan::nothing() } else { by_owners(graph, item, lookup) }
}

fn by_owners(graph: &Graph, item: &Item, lookup: &dyn Fn(&OwnerReference) -> Lookup) -> Plan {
    let mut plan = Plan::nothing();
    let (mut n_solid, mut n_waiting) = (0, 0);
    let mut dropped = BTreeSet::new();
    for owner in &item.owners {
        match graph.owner(item, owner) {
            Some(found) if found.waits_for_dependents() => {
                n_waiting += 1;
                dropped.insert(owner.uid.as_str());
            }
            Some(_) => n_solid += 1,
            None => match if graph.is_gone.contains(&owner.uid) { Lookup::Absent } else { lookup(owner) } {
                Lookup::Absent => {
                    plan.notes.extend(foreign_owner(graph, item, owner));
                    dropped.insert(owner.uid.as_str());
                }
                Lookup::Present | Lookup::Unknown => n_solid += 1,
            },
        }
    }
    let has_dependents = graph.dependents.get(&*item.uid).is_some_and(|d| !d.is_empty());
    if n_solid > 0 {
        if !dropped.is_empty() {
            let left: Vec<&OwnerReference> = item.owners.iter().filter(|o| !dropped.contains(o.uid.as_str())).collect();
            plan.changes.push(patch(item, json!({"ownerReferences": left})));
        }
    } else if n_waiting > 0 && has_dependents {
        let is_circle = graph.dependents_of(&item.uid).any(|d| graph.items.get(d.as_str()).is_some_and(Item::waits_for_dependents));
        if is_circle && item.owners.iter().any(|o| o.block_owner_deletion == Some(true)) {
            // Its dependents wait too, so it must not hold up its owner, or a circle would never end.
            let freed = item.owners.iter().map(|o| OwnerReference { block_owner_deletion: Some(false), ..o.clone() });
            plan.changes.push(patch(item, json!({"ownerReferences": freed.collect::<Vec<_>>()})));
        } else {
            plan.changes.push(delete(item, Propagation::Foreground));
        }
    } else {
        let propagation = match () {
            () if item.has(ORPHAN) => Propagation::Orphan,
            () if item.has(FOREGROUND) => Propagation::Foreground,
            () => Propagation::Background,
        };
        plan.changes.push(delete(item, propagation));
    }
    plan
}

/// An owner of that uid lives where it cannot own this object.
fn foreign_owner(graph: &Graph, item: &Item, owner: &OwnerReference) -> Option<Note> {
    graph.items.get(owner.uid.as_str()).filter(|found| !found.key.namespace.is_empty() && found.key.namespace != item.key.namespace)?;
    let shown =
        format!("[{}/{}, namespace: {}, name: {}, uid: {}]", owner.api_version, owner.kind, item.key.namespace, owner.name, owner.uid);
    let text = format!("ownerRef {shown} does not exist in namespace \"{}\"", item.key.namespace);
    Some(Note::warning(item.reference(), "OwnerRefInvalidNamespace", text))
}

fn await_dependents(graph: &Graph, item: &Item) -> Plan {
    let is_blocked = graph.dependents_of(&item.uid).any(|d| graph.items.get(d.as_str()).is_some_and(|d| d.blocks(&item.uid)));
    let changes = if is_blocked { Vec::new() } else { vec![without_finalizer(item, FOREGROUND)] };
    Plan { changes, ..Plan::nothing() }
}

fn orphan_dependents(graph: &Graph, item: &Item) -> Plan {
    let dependents: Vec<&Item> = graph.dependents_of(&item.uid).filter_map(|d| graph.items.get(d.as_str())).collect();
    let freed = dependents.iter().map(|dependent| {
        let left: Vec<&OwnerReference> = dependent.owners.iter().filter(|o| *o.uid != *item.uid).collect();
        patch(dependent, json!({"ownerReferences": left}))
    });
    let changes: Vec<Change> = if dependents.is_empty() { vec![without_finalizer(item, ORPHAN)] } else { freed.collect() };
    Plan { changes, ..Plan::nothing() }
}

fn without_finalizer(item: &Item, finalizer: &str) -> Change {
    let left: Vec<&String> = item.finalizers.iter().filter(|f| *f != finalizer).collect();
    patch(item, json!({"finalizers": left}))
}

/// Lists are written whole, so the patch holds only for the revision it was planned on.
fn patch(item: &Item, mut metadata: Value) -> Change {
    metadata["uid"] = (*item.uid).into();
    metadata["resourceVersion"] = item.resource_version.as_str().into();
    let patch = json!({"metadata": metadata});
    Write::Patch { resource: (*item.resource).clone(), key: item.key.clone(), subresource: "", kind: PatchKind::Merge, patch }.into()
}

fn delete(item: &Item, propagation: Propagation) -> Change {
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::only(&*item.uid) };
    Write::Delete { resource: (*item.resource).clone(), key: item.key.clone(), options }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// `web-a owner=web!,other leaving foreground`; `!` blocks; `ns=x` sets the namespace.
    fn graph(text: &str) -> Graph {
        let mut graph = Graph::default();
        for line in text.split('|').map(str::trim) {
            let words: Vec<&str> = line.split(' ').collect();
            let setting = |name: &str| words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            let owners = setting("owner").into_iter().flat_map(|o| o.split(',')).map(|owner| OwnerReference {
                uid: owner.trim_end_matches('!').to_owned(),
                name: owner.trim_end_matches('!').to_owned(),
                kind: "K".to_owned(),
                block_owner_deletion: owner.ends_with('!').then_some(true),
                ..OwnerReference::default()
            });
            let finalizers = [(ORPHAN, "orphan"), (FOREGROUND, "foreground")].into_iter().filter(|(_, w)| words.contains(w));
            graph.put(Item {
                resource: GroupVersionResource::new("", "v1", "things").into(),
                kind: "K".into(),
                key: ObjectKey::new(setting("ns").unwrap_or("default"), words[0]),
                uid: words[0].into(),
                resource_version: String::new(),
                owners: owners.collect(),
                finalizers: finalizers.map(|(f, _)| f.to_owned()).collect(),
                is_leaving: words.contains(&"leaving"),
            });
        }
        graph
    }

    fn check(text: &str, expected: Expect) {
        let graph = graph(text);
        let mut shown = String::new();
        for uid in graph.items.keys() {
            let plan = plan(&graph, uid, &|owner| if owner.name.starts_with("unseen") { Lookup::Present } else { Lookup::Absent });
            for note in plan.notes {
                shown.push_str(&format!("note {uid}: {}\n", note.reason));
            }
            for change in plan.changes {
                match change.write {
                    Write::Delete { key, options, .. } => {
                        shown.push_str(&format!("delete {} {:?}\n", key.name, options.propagation.unwrap()))
                    }
                    Write::Patch { key, patch, .. } => {
                        let owners = patch["metadata"]["ownerReferences"].as_array().map(|o| {
                            o.iter()
                                .map(|o| {
                                    format!("{}{}", o["uid"].as_str().unwrap(), if o["blockOwnerDeletion"] == true { "!" } else { "" })
                                })
                                .collect::<Vec<_>>()
                        });
                        shown.push_str(&format!("patch {} owners={owners:?} finalizers={}\n", key.name, patch["metadata"]["finalizers"]));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn dependents_of_absent_owners_go() {
        check(
            "a owner=gone! | b owner=unseen | c owner=a",
            expect![[r#"
            delete a Background
        "#]],
        );
    }

    #[test]
    fn a_solid_owner_keeps_its_dependent() {
        check(
            "owner | a owner=owner,gone",
            expect![[r#"
            patch a owners=Some(["owner"]) finalizers=null
        "#]],
        );
    }

    #[test]
    fn foreground_goes_from_the_leaves_up() {
        check(
            "root leaving foreground | mid owner=root! | leaf owner=mid!",
            expect![[r#"
            delete mid Foreground
        "#]],
        );
        check(
            "root leaving foreground | mid owner=root! leaving foreground | leaf owner=mid!",
            expect![[r#"
            delete leaf Background
        "#]],
        );
        check(
            "root leaving foreground | mid owner=root! leaving foreground",
            expect![[r#"
            patch mid owners=None finalizers=[]
        "#]],
        );
        check(
            "root leaving foreground | other owner=root",
            expect![[r#"
            delete other Background
            patch root owners=None finalizers=[]
        "#]],
        );
    }

    #[test]
    fn a_circle_of_waiting_owners_is_broken() {
        check(
            "a leaving foreground owner=c! | b leaving foreground owner=a! | c owner=b!",
            expect![[r#"
            patch c owners=Some(["b"]) finalizers=null
        "#]],
        );
    }

    #[test]
    fn orphans_lose_their_owner_before_it_goes() {
        check(
            "root leaving orphan | a owner=root!,other | other",
            expect![[r#"
            patch a owners=Some(["other"]) finalizers=null
        "#]],
        );
        check(
            "root leaving orphan",
            expect![[r#"
            patch root owners=None finalizers=[]
        "#]],
        );
    }

    #[test]
    fn owners_in_other_namespaces_do_not_count() {
        check(
            "owner ns=x | a owner=owner ns=y",
            expect![[r#"
            note a: OwnerRefInvalidNamespace
            delete a Background
        "#]],
        );
    }

    #[test]
    fn changes_name_what_must_be_looked_at() {
        let mut graph = graph("root | a owner=root! | b owner=a!");
        let mut root = graph.items["root"].clone();
        assert!(graph.put(root.clone()).is_empty(), "a status update concerns nobody");
        root.is_leaving = true;
        root.finalizers = vec![FOREGROUND.to_owned()];
        assert_eq!(graph.put(root), ["root", "a"]);
        assert_eq!(graph.remove("a"), ["b", "root"]);
        assert_eq!(graph.remove("root"), Vec::<String>::new());
    }
}
