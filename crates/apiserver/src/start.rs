//! What must be in the store before the server calls itself ready: namespaces, bootstrap policy, the `kubernetes` Service.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use authz::UserInfo;
use authz::bootstrap::Reconciled;
use object::Value;
use object::key::GroupVersionKind;
use object::meta;
use object::status::Status;
use registry::Request;
use registry::options::WriteOptions;

use crate::ApiServer;

const SELF: &str = "system:apiserver";
/// As managedFields show it.
const MANAGER: &str = "kube-apiserver";

/// Who the server is when it writes on its own behalf.
pub(crate) fn own_user() -> UserInfo {
    let groups = vec![authz::PRIVILEGED_GROUP.to_owned(), "system:authenticated".to_owned()];
    UserInfo { name: SELF.to_owned(), groups, ..UserInfo::default() }
}

impl ApiServer {
    /// `endpoints` are the addresses this server is reached at, with its port.
    pub async fn bootstrap(&self, endpoints: &[IpAddr], port: u16) -> Result<(), Status> {
        let user = Arc::new(own_user());
        self.registry.create_namespaces(&user).await?;
        for wanted in authz::bootstrap::objects() {
            self.reconcile_policy(wanted, &user).await?;
        }
        self.registry.create_priority_classes(&user).await?;
        self.registry.publish_service_ranges(&user).await?;
        self.registry.publish_kubernetes_service(endpoints, port, &user).await?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Default roles and bindings get back what an administrator took away, unless the object says otherwise.
    async fn reconcile_policy(&self, wanted: Value, user: &Arc<UserInfo>) -> Result<(), Status> {
        let kind: GroupVersionKind = meta::kind(&wanted);
        let catalog = self.registry.catalog();
        let resource = catalog.by_kind(&kind).cloned().ok_or_else(|| Status::internal(format!("no resource of kind {kind}")))?;
        let (namespace, name) = (meta::namespace(&wanted).to_owned(), meta::name(&wanted).to_owned());
        let stored = match self.registry.get(&resource, &namespace, &name, "") {
            Ok(stored) => stored,
            Err(e) if e.is_not_found() => return self.registry.create_if_absent(wanted, user).await,
            Err(e) => return Err(e),
        };
        let existing = self.registry.decode(&resource, &stored)?;
        let request = Request { resource, subresource: String::new(), namespace, name, user: Arc::clone(user) };
        let options = WriteOptions { field_manager: MANAGER.to_owned(), ..WriteOptions::default() };
        match authz::bootstrap::reconcile(&wanted, &existing) {
            Reconciled::UpToDate => Ok(()),
            Reconciled::Update(new) => self.registry.update(&request, new, &options).await.map(|_| ()),
            Reconciled::Replace => {
                self.registry.delete(&request, &registry::options::DeleteOptions::default()).await?;
                self.registry.create_if_absent(wanted, user).await
            }
        }
    }
}
