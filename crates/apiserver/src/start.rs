//! What must be in the store before the server calls itself ready: namespaces, bootstrap policy, default objects, the `kubernetes`
//! Service.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use authz::UserInfo;
use authz::bootstrap::Reconciled;
use futures_util::future::try_join_all;
use object::Value;
use object::key::GroupVersionKind;
use object::meta;
use object::status::Status;
use registry::options::WriteOptions;
use registry::{Patch, PatchKind, Request};

use crate::ApiServer;
use crate::standing::{self, MANAGER};

const SELF: &str = "system:apiserver";
/// Who the server is when it writes on its own behalf.
pub(crate) fn own_user() -> UserInfo {
    let groups = vec![authz::PRIVILEGED_GROUP.to_owned(), "system:authenticated".to_owned()];
    UserInfo { name: SELF.to_owned(), groups, ..UserInfo::default() }
}

/// The parts of the bootstrap, in their order; health checks ask for each.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Namespaces,
    Policy,
    Standing,
    PriorityClasses,
    TokenTracking,
    ServiceRanges,
    KubernetesService,
}

impl ApiServer {
    /// `endpoints` are the addresses this server is reached at, with its port.
    pub async fn bootstrap(&self, endpoints: &[IpAddr], port: u16) -> Result<(), Status> {
        let user = Arc::new(own_user());
        self.registry.create_namespaces(&user).await?;
        self.has_done(Step::Namespaces);
        // Together, so that all of them are one write to disk.
        try_join_all(authz::bootstrap::objects().into_iter().map(|wanted| self.keep(wanted, MANAGER, authz::bootstrap::reconcile, &user)))
            .await?;
        self.has_done(Step::Policy);
        try_join_all(standing::objects().map(|wanted| self.keep_standing(wanted, &user))).await?;
        self.has_done(Step::Standing);
        self.registry.create_priority_classes(&user).await?;
        self.has_done(Step::PriorityClasses);
        self.registry.publish_token_tracking(&user).await?;
        self.has_done(Step::TokenTracking);
        self.registry.publish_service_ranges(&user).await?;
        self.has_done(Step::ServiceRanges);
        self.registry.publish_kubernetes_service(endpoints, port, &user).await?;
        self.has_done(Step::KubernetesService);
        Ok(())
    }

    fn has_done(&self, step: Step) {
        self.n_steps_done.store(step as usize + 1, Ordering::Release);
    }

    /// Default objects get back what an administrator took away, unless the object says otherwise.
    async fn keep(
        &self,
        wanted: Value,
        manager: &str,
        reconcile: fn(&Value, &Value) -> Reconciled,
        user: &Arc<UserInfo>,
    ) -> Result<(), Status> {
        let request = self.request_about(&wanted, user)?;
        let options = WriteOptions { field_manager: manager.to_owned(), ..WriteOptions::default() };
        let stored = match self.registry.get(&request.resource, &request.namespace, &request.name, "") {
            Ok(stored) => stored,
            Err(e) if e.is_not_found() => return self.make(&request, wanted, &options).await,
            Err(e) => return Err(e),
        };
        let existing = self.registry.decode(&request.resource, &stored)?;
        match reconcile(&wanted, &existing) {
            Reconciled::UpToDate => Ok(()),
            Reconciled::Update(new) => self.registry.update(&request, new, &options).await.map(|_| ()),
            Reconciled::Replace => {
                self.registry.delete(&request, &registry::options::DeleteOptions::default()).await?;
                self.make(&request, wanted, &options).await
            }
        }
    }

    async fn keep_standing(&self, wanted: Value, user: &Arc<UserInfo>) -> Result<(), Status> {
        let request = self.request_about(&wanted, user)?;
        let manager = standing::manager(&wanted);
        self.keep(wanted, manager, standing::reconcile, user).await?;
        let stored = self.registry.get(&request.resource, "", &request.name, "")?;
        let schema = self.registry.decode(&request.resource, &stored)?;
        let now = object::time::seconds(self.registry.clock().now());
        let Some(status) = standing::found_status(&schema, &now) else { return Ok(()) };
        let request = Request { subresource: "status".to_owned(), ..request };
        let patch = Patch { kind: PatchKind::Apply, tree: status, faults: Vec::new(), refusal: None };
        let options = WriteOptions { field_manager: standing::CONSUMER.to_owned(), force: Some(true), ..WriteOptions::default() };
        self.registry.patch(&request, &patch, &options, &mut Vec::new()).await.map(|_| ())
    }

    /// Another server may have been faster.
    async fn make(&self, request: &Request, object: Value, options: &WriteOptions) -> Result<(), Status> {
        let request = Request { name: String::new(), ..request.clone() };
        match self.registry.create(&request, object, options).await {
            Err(e) if !e.is_already_exists() => Err(e),
            _ => Ok(()),
        }
    }

    fn request_about(&self, object: &Value, user: &Arc<UserInfo>) -> Result<Request, Status> {
        let kind: GroupVersionKind = meta::kind(object);
        let catalog = self.registry.catalog();
        let resource = catalog.by_kind(&kind).cloned().ok_or_else(|| Status::internal(format!("no resource of kind {kind}")))?;
        let (namespace, name) = (meta::namespace(object).to_owned(), meta::name(object).to_owned());
        Ok(Request { resource, subresource: String::new(), namespace, name, user: Arc::clone(user) })
    }
}
