//! Admission inside the write path: what plugins are shown, and who answers their questions about rights.

use std::time::Duration;

use admission::{Operation, Scene, View};
use authz::Attributes;
use object::Value;
use object::key::{GroupResource, ObjectKey};
use object::status::Status;
use store::At;

use crate::form::Stored;
use crate::request::Request;
use crate::{Registry, address, rows};

/// Who may do what, asked from inside the write path.
pub trait Rights: Send + Sync {
    fn allows(&self, attributes: &Attributes<'_>) -> bool;
    /// Nobody may write a role or binding that grants what they do not hold.
    fn check_grant(&self, request: &Request, old: Option<&Value>, new: &Value) -> Result<(), Status>;
}

/// For a registry that nobody guards: tests and tools.
pub(crate) struct Everything;

impl Rights for Everything {
    fn allows(&self, _: &Attributes<'_>) -> bool {
        true
    }
    fn check_grant(&self, _: &Request, _: Option<&Value>, _: &Value) -> Result<(), Status> {
        Ok(())
    }
}

/// Upstream: a new namespace's pods may come before its default account does; they wait about as long as ten tries took.
const ACCOUNT_WAIT_MAX: Duration = Duration::from_millis(1_500);

impl Registry {
    /// Upstream: an update or an apply that makes its object needs the right to create it too.
    pub(crate) fn check_may_create(&self, request: &Request) -> Result<(), Status> {
        let resource = &request.resource;
        let attributes = Attributes::resource(&request.user, "create", &resource.group, &resource.version, &resource.plural)
            .in_namespace(&request.namespace)
            .named(&request.name)
            .with_subresource(&request.subresource);
        if self.rights.allows(&attributes) { Ok(()) } else { Err(attributes.forbidden("")) }
    }
}

impl View for Registry {
    fn get(&self, resource: &GroupResource, key: &ObjectKey) -> Option<Value> {
        let catalog = self.catalog();
        let resource = catalog.preferred(resource)?;
        let record = self.record(resource, &key.namespace, &key.name).ok()?;
        self.decode_lean(resource, &Stored::from(&*record)).ok()
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        let catalog = self.catalog();
        let Some(resource) = catalog.preferred(resource) else { return Vec::new() };
        let page = self.store.range(&address::prefix(resource, namespace), None, At::Latest, 0);
        let records = page.map(|page| page.records).unwrap_or_default();
        records.iter().filter_map(|record| self.decode_lean(resource, &Stored::from(&**record)).ok()).collect()
    }
}

impl Registry {
    /// Plugins change the object of a create or update.
    pub(crate) fn mutate(&self, request: &Request, operation: Operation, old: Option<&Value>, object: &mut Value) -> Result<(), Status> {
        self.on_scene(request, operation, |scene, asked| admission::mutate(scene, asked, old, object))
    }

    /// Plugins refuse what is about to happen, or warn.
    pub(crate) fn admit(
        &self,
        request: &Request,
        operation: Operation,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<Vec<String>, Status> {
        self.on_scene(request, operation, |scene, asked| admission::validate(scene, asked, old, new))
    }

    /// Both passes over a subresource whose body is not the object itself and is not stored.
    pub fn admit_subresource(&self, request: &Request, body: &Value) -> Result<(), Status> {
        let mut body = body.clone();
        self.mutate(request, Operation::Create, None, &mut body)?;
        self.admit(request, Operation::Create, None, Some(&body)).map(|_| ())
    }

    fn on_scene<T>(
        &self,
        request: &Request,
        operation: Operation,
        run: impl FnOnce(&Scene<'_>, &admission::Request<'_>) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let authorize = |attributes: &Attributes<'_>| self.rights.allows(attributes);
        let scene = Scene { view: self, authorize: &authorize, random: self.entropy.next() };
        let asked = admission::Request {
            operation,
            resource: &request.resource,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
            user: &request.user,
        };
        run(&scene, &asked)
    }

    /// Waits a moment for the account that a controller makes in each namespace.
    pub(crate) async fn await_default_account(&self, request: &Request, pod: &Value) {
        let is_default = matches!(pod["spec"]["serviceAccountName"].as_str(), None | Some("" | "default"));
        if !rows::is_pod(&request.resource) || !request.subresource.is_empty() || !is_default {
            return;
        }
        let namespace = address::plain_key("core", "namespaces", &request.namespace);
        let account = address::plain_key("core", "serviceaccounts", &format!("{}/default", request.namespace));
        if self.store.get(&account).is_some() || self.store.get(&namespace).is_none() {
            return;
        }
        let Ok(mut watcher) = self.store.watch_key(&account, self.store.revision()) else { return };
        // It may have come between the look and the watch.
        if self.store.get(&account).is_none() {
            let _ = tokio::time::timeout(ACCOUNT_WAIT_MAX, watcher.next()).await;
        }
    }
}
