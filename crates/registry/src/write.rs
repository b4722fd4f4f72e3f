//! Create and update: the one path every change takes from a decoded tree to the store.
//!
//! PUT, every patch, status, scale, binding and the rest are `update_with` and differ only in how they make the new tree.

use std::sync::Arc;

use admission::{Operation, View};
use object::key::{GroupResource, GroupVersionKind, ObjectKey};
use object::status::Status;
use object::{Value, field, meta};
use store::{Expect, Op, Outcome, Record, Revision, Write};

use crate::form::Stored;
use crate::options::WriteOptions;
use crate::request::{Answer, Request, Written};
use crate::services::Holdings;
use crate::{Registry, address, faults, metadata, quotas, rows, services};

/// Upstream: `maxNameGenerationCreateAttempts`.
const GENERATE_TRIES_MAX: usize = 8;
/// Writers that race for one object take turns; each lost turn means that another one won, so this ends. The limit is for bugs.
const UPDATE_TRIES_MAX: usize = 1_000;

/// An object as it stands, both ways.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub record: Arc<Record>,
    pub tree: Value,
}

/// How `update_with` goes about it.
pub(crate) struct Plan<'a> {
    pub options: &'a WriteOptions,
    /// In managedFields; `None` when the new tree already says who did what (server-side apply).
    pub manager: Option<&'a str>,
    /// Upstream: patches are retried a few times, unconditional updates until they win, updates that name a revision never.
    pub conflicts_max: usize,
    pub(crate) way: Way,
}

/// Where a new tree comes from, for the few rules that ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The uid of the body is a precondition; that of any other new tree is a field that may not change.
    Put,
    Patch,
    /// The engine's own doing (a binding): no generation counts it.
    Engine,
}

/// Makes the new tree from the present one.
pub(crate) type Make<'a> = dyn FnMut(&Value) -> Result<Value, Status> + Send + 'a;

impl Registry {
    pub async fn create(&self, request: &Request, object: Value, options: &WriteOptions) -> Result<Written, Status> {
        options.check("CreateOptions", false)?;
        self.create_as(request, object, options, Some(&options.field_manager)).await
    }

    /// `manager` is `None` when managedFields are already right.
    pub(crate) async fn create_as(
        &self,
        request: &Request,
        mut object: Value,
        options: &WriteOptions,
        manager: Option<&str>,
    ) -> Result<Written, Status> {
        metadata::place(request, &mut object)?;
        let now = self.clock.now();
        let sent_version = meta::resource_version(&object).to_owned();
        metadata::begin(&mut object, now, &self.entropy);
        self.complete(request, &mut object);
        if let Some(manager) = manager {
            self.track(request, None, &mut object, manager, now);
        }
        metadata::name_by_chance(&request.resource, &mut object, &self.entropy);
        let is_generated = metadata::needs_name(&object);
        if is_generated {
            metadata::generate_name(&mut object, &self.entropy);
        }
        self.await_default_account(request, &object).await;
        self.mutate(request, Operation::Create, None, &mut object)?;
        let catalog = self.catalog();
        let context = strategies::Context { catalog: &catalog, now, user: &request.user };
        strategies::complete(&request.resource, "", None, &mut object);
        let mut chosen = services::allot(self, request, options.is_dry_run(), None, &mut object)?;
        let mut warnings = strategies::warnings(&request.resource, "", None, &object);
        strategies::prepare_create(&request.resource, &mut object, &context);
        let mut faults = self.faults_of_place(request, None, &object);
        faults.extend(strategies::validate_create(&request.resource, &object));
        refuse(request, &object, &faults)?;
        self.rights.check_grant(request, None, &object)?;
        warnings.extend(self.admit(request, Operation::Create, None, Some(&object))?);
        strategies::canonicalize(&request.resource, &mut object);
        self.finish(request, &mut object);
        if options.is_dry_run() {
            quotas::charges(self, request, None, &object)?;
            if self.record(&request.resource, &request.namespace, meta::name(&object)).is_ok() {
                return Err(self.already_exists(request, meta::name(&object)));
            }
            // Upstream: it goes with what is stored, and nothing is.
            if !sent_version.is_empty() {
                meta::set(&mut object, "resourceVersion", sent_version);
            }
            return Ok(Written { answer: Answer::Tree(object), is_new: true, warnings });
        }
        for _ in 0..GENERATE_TRIES_MAX {
            let key = address::key(&request.resource, &request.namespace, meta::name(&object));
            match self.put(request, key, Expect::Absent, None, &mut object, &mut chosen).await? {
                Put::Done(stored) => return Ok(Written { answer: Answer::Stored(stored), is_new: true, warnings }),
                Put::Conflict if is_generated => {
                    metadata::generate_name(&mut object, &self.entropy);
                    strategies::canonicalize(&request.resource, &mut object);
                }
                Put::Conflict => break,
            }
        }
        Err(self.already_exists(request, meta::name(&object)))
    }

    fn already_exists(&self, request: &Request, name: &str) -> Status {
        let mut status = Status::already_exists(&request.group_resource(), name);
        let present = self.record(&request.resource, &request.namespace, name).and_then(|record| self.tree(request, &record));
        if present.is_ok_and(|present| meta::deletion_timestamp(&present).is_some()) {
            status.message.insert_str(0, "object is being deleted: ");
        }
        status
    }

    /// PUT of the object itself or of a subresource that is sent in the object's form.
    pub async fn update(&self, request: &Request, object: Value, options: &WriteOptions) -> Result<Written, Status> {
        options.check("UpdateOptions", false)?;
        let mut object = object;
        metadata::check_named(request, &object)?;
        metadata::place(request, &mut object)?;
        let sent_version = meta::resource_version(&object).to_owned();
        let is_unconditional = matches!(sent_version.as_str(), "" | "0");
        if is_unconditional && !rows::allows_unconditional_update(&request.resource) && self.exists(request) {
            let path = field::Path::new("metadata").child("resourceVersion");
            let fault = field::Error::invalid(&path, 0, "must be specified for an update");
            // Upstream names the resource here and not the kind.
            let named = GroupVersionKind::new(&request.resource.group, "", &request.resource.plural);
            return Err(Status::invalid(&named, &request.name, &[fault]));
        }
        if rows::creates_on_update(&request.resource) && request.subresource.is_empty() && !self.exists(request) {
            self.check_may_create(request)?;
            if !meta::uid(&object).is_empty() {
                return Err(other_uid(request, meta::uid(&object), ""));
            }
            return self.create_as(request, object, options, Some(&options.field_manager)).await;
        }
        self.complete(request, &mut object);
        let plan = Plan {
            options,
            manager: Some(&options.field_manager),
            conflicts_max: if is_unconditional { UPDATE_TRIES_MAX } else { 0 },
            way: Way::Put,
        };
        self.update_with(request, &plan, &mut |_| Ok(object.clone())).await
    }

    fn exists(&self, request: &Request) -> bool {
        self.store.get(&address::key(&request.resource, &request.namespace, &request.name)).is_some()
    }

    pub(crate) fn current(&self, request: &Request) -> Result<Current, Status> {
        let record = self.record(&request.resource, &request.namespace, &request.name)?;
        let tree = self.tree(request, &record)?;
        Ok(Current { record, tree })
    }

    pub(crate) fn tree(&self, request: &Request, record: &Record) -> Result<Value, Status> {
        self.decode(&request.resource, &Stored::from(record))
    }

    /// Reads, makes, checks, writes; again when somebody else was faster, as often as the plan allows.
    pub(crate) async fn update_with(&self, request: &Request, plan: &Plan<'_>, make: &mut Make<'_>) -> Result<Written, Status> {
        for n_conflicts in 0..=plan.conflicts_max {
            let current = self.current(request)?;
            let new = make(&current.tree)?;
            match self.try_update(request, plan, &current, new).await? {
                Some(written) => return Ok(written),
                None if n_conflicts == plan.conflicts_max => break,
                None => {}
            }
        }
        Err(Status::conflict_modified(&request.group_resource(), &request.name))
    }

    /// One turn; `None` when the object moved meanwhile.
    async fn try_update(&self, request: &Request, plan: &Plan<'_>, current: &Current, mut new: Value) -> Result<Option<Written>, Status> {
        let old = &current.tree;
        check_identity(request, plan, old, &new)?;
        metadata::carry(old, &mut new);
        let now = self.clock.now();
        if let Some(manager) = plan.manager {
            self.track(request, Some(old), &mut new, manager, now);
        }
        self.mutate(request, Operation::Update, Some(old), &mut new)?;
        let catalog = self.catalog();
        let context = strategies::Context { catalog: &catalog, now, user: &request.user };
        strategies::complete(&request.resource, &request.subresource, Some(old), &mut new);
        let mut chosen = services::allot(self, request, plan.options.is_dry_run(), Some(old), &mut new)?;
        let mut warnings = match plan.way {
            Way::Engine => Vec::new(),
            _ => strategies::warnings(&request.resource, &request.subresource, Some(old), &new),
        };
        strategies::prepare_update(&request.resource, &request.subresource, old, &mut new, &context);
        if plan.way == Way::Engine {
            metadata::keep_generation(old, &mut new);
        }
        let mut faults = self.faults_of_place(request, Some(old), &new);
        faults.extend(strategies::validate_update(&request.resource, &request.subresource, old, &new));
        refuse(request, &new, &faults)?;
        self.rights.check_grant(request, Some(old), &new)?;
        warnings.extend(self.admit(request, Operation::Update, Some(old), Some(&new))?);
        strategies::canonicalize(&request.resource, &mut new);
        self.finish(request, &mut new);
        let written = |answer| Some(Written { answer, is_new: false, warnings });
        if is_same(old, &new) {
            return Ok(written(Answer::Stored(Stored::from(&*current.record))));
        }
        if plan.options.is_dry_run() {
            quotas::charges(self, request, Some(old), &new)?;
            meta::set(&mut new, "resourceVersion", current.record.modified.0.to_string());
            return Ok(written(Answer::Tree(new)));
        }
        if is_ready_to_go(request, &new) {
            return Ok(self.remove_updated(request, current, new).await?.and_then(written));
        }
        let key = Arc::clone(&current.record.key);
        match self.put(request, key, Expect::At(current.record.modified), Some(old), &mut new, &mut chosen).await? {
            Put::Done(stored) => Ok(written(Answer::Stored(stored))),
            Put::Conflict => Ok(None),
        }
    }

    /// The update took the last finalizer away from an object that is being deleted.
    fn faults_of_place(&self, request: &Request, old: Option<&Value>, new: &Value) -> Vec<field::Error> {
        let namespace = || View::get(self, &GroupResource::new("", "namespaces"), &ObjectKey::new("", &request.namespace));
        strategies::validate_place(&request.resource, &request.subresource, old, new, &namespace)
    }

    /// Upstream: shown as it would have been written, at the revision before.
    async fn remove_updated(&self, request: &Request, current: &Current, new: Value) -> Result<Option<Answer>, Status> {
        Ok(self.remove(request, current).await?.map(|_| Answer::Tree(new)))
    }

    /// Encodes once and writes; the bytes written are the bytes answered and watched. What was `chosen` for the object and is taken by
    /// now is chosen again.
    pub(crate) async fn put(
        &self,
        request: &Request,
        key: Arc<str>,
        expect: Expect,
        old: Option<&Value>,
        new: &mut Value,
        chosen: &mut Holdings,
    ) -> Result<Put, Status> {
        let lease = self.lease_for(&request.resource).await?;
        for _ in 0..UPDATE_TRIES_MAX {
            let mut companions = services::companions(self, request, old, Some(new));
            companions.extend(quotas::charges(self, request, old, new)?);
            let bytes = self.encode(&request.resource, new)?;
            let mut writes = vec![Write { key: Arc::clone(&key), expect, op: Op::Put { value: bytes.clone(), lease } }];
            let n_companions = companions.len();
            writes.extend(companions);
            match self.store.write(writes).await.map_err(|e| faults::from_store(&e))? {
                Outcome::Done { revision, .. } => return Ok(Put::Done(Stored { revision, bytes })),
                Outcome::Conflict { current } => {
                    let own = current.first().and_then(|r| r.as_ref()).map(|r| r.modified);
                    if n_companions == 0 || !holds(expect, own) {
                        return Ok(Put::Conflict);
                    }
                    *chosen = services::allot_again(self, request, chosen, old, new)?;
                }
            }
        }
        Err(Status::internal("what the object takes with it could not be taken: too many others were faster"))
    }

    /// Deletes at the revision seen; `None` when the object moved meanwhile.
    pub(crate) async fn remove(&self, request: &Request, current: &Current) -> Result<Option<Revision>, Status> {
        let mut writes = vec![Write { key: Arc::clone(&current.record.key), expect: Expect::At(current.record.modified), op: Op::Delete }];
        writes.extend(services::companions(self, request, Some(&current.tree), None));
        match self.store.write(writes).await.map_err(|e| faults::from_store(&e))? {
            Outcome::Done { revision, .. } => Ok(Some(revision)),
            Outcome::Conflict { .. } => Ok(None),
        }
    }
}

pub(crate) enum Put {
    Done(Stored),
    Conflict,
}

fn holds(expect: Expect, current: Option<Revision>) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::At(revision) => current == Some(revision),
    }
}

/// `resourceVersion` and `uid` of a body are preconditions.
fn check_identity(request: &Request, plan: &Plan<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    let sent_uid = meta::uid(new);
    if plan.way == Way::Put && !sent_uid.is_empty() && sent_uid != meta::uid(old) {
        return Err(other_uid(request, sent_uid, meta::uid(old)));
    }
    let sent_version = meta::resource_version(new);
    if !matches!(sent_version, "" | "0") && sent_version != meta::resource_version(old) {
        if sent_version.parse::<u64>().is_err() {
            return Err(Status::new(500, "", crate::read::not_a_number(sent_version)));
        }
        return Err(Status::conflict_modified(&request.group_resource(), &request.name));
    }
    Ok(())
}

/// Upstream: the storage's own error shows through, with its key.
fn other_uid(request: &Request, sent: &str, present: &str) -> Status {
    let path = [rows::storage_path(&request.resource), &request.namespace, &request.name].join("/").replace("//", "/");
    let cause = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{path}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, UID in object meta: {present}"
    );
    Status::conflict(&request.group_resource(), &request.name, &cause)
}

/// Nothing is left to wait for before an object under deletion goes.
fn is_ready_to_go(request: &Request, object: &Value) -> bool {
    meta::deletion_timestamp(object).is_some()
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && metadata::is_finalized(request, object)
}

/// Nothing changed, or only the times in managedFields: upstream then writes nothing, so that a repeated apply costs no revision.
fn is_same(old: &Value, new: &Value) -> bool {
    is_same_but("metadata", old, new, &|old, new| is_same_but("managedFields", old, new, &are_same_but_times))
}

/// All other members are equal, and the two of this name pass for it.
fn is_same_but(member: &str, old: &Value, new: &Value, passes: &dyn Fn(&Value, &Value) -> bool) -> bool {
    others(old, member).eq(others(new, member)) && passes(&old[member], &new[member])
}

fn others<'a>(object: &'a Value, member: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.as_object().into_iter().flatten().filter(move |(name, _)| *name != member)
}

fn are_same_but_times(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_array(), after.as_array()) else {
        return before == after;
    };
    before.len() == after.len() && before.iter().zip(after).all(|(old, new)| is_same_but("time", old, new, &|_, _| true))
}

pub(crate) fn refuse(request: &Request, object: &Value, found: &[field::Error]) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    // Upstream: events are core's whatever group they come by.
    let kind = GroupVersionKind::new(&request.resource.storage_group, &request.resource.version, &request.resource.kind);
    Err(Status::invalid(&kind, meta::name(object), found))
}
