//! Resources that are answered and not stored: reviews, `bindings`, `componentstatuses`.

use std::sync::Arc;

use http::Response;
use object::Value;
use object::key::GroupResource;
use object::status::Status;
use registry::Request;
use serde_json::json;

use crate::ApiServer;
use crate::body::Body;
use crate::call::Call;
use crate::negotiate::{Format, Shape};
use crate::resources::{Target, add_warnings, refused, request, tree_answer, write_options};
use crate::{answer, reviews, table};

/// Groups whose every resource is a review.
const REVIEW_GROUPS: &[&str] = &["authentication.k8s.io", "authorization.k8s.io"];

impl ApiServer {
    /// `None`: an ordinary, stored resource.
    pub(crate) async fn special(&self, call: &mut Call, target: &Target) -> Option<Result<Response<Body>, Status>> {
        let resource = Arc::clone(&target.resource);
        if REVIEW_GROUPS.contains(&resource.group.as_str()) {
            return Some(self.review(call, target).await);
        }
        match (resource.group.as_str(), resource.plural.as_str()) {
            ("", "bindings") => Some(self.bind_by_body(call, target).await),
            ("", "componentstatuses") => Some(self.components(call, target)),
            _ => None,
        }
    }

    async fn review(&self, call: &mut Call, target: &Target) -> Result<Response<Body>, Status> {
        let options = write_options(call)?;
        options.check("CreateOptions", false)?;
        // A review has no metadata that a table or a partial object could show: asking for one is refused.
        call.wanted(false)?;
        let decoded = self.read_typed(call, target, &target.resource.gvk(), &options.field_validation).await?;
        let mut review = decoded.object;
        // Upstream: this one review is made anew for its answer.
        let is_tracked = target.resource.plural != "selfsubjectrulesreviews";
        if is_tracked {
            self.registry.track_answered(&request(call, target), &target.resource.gvk(), &mut review, &options.field_manager);
        }
        // Upstream: what is sent to a namespace lies in it.
        if target.resource.namespaced {
            object::meta::set(&mut review, "namespace", call.info.namespace.clone());
        }
        let review = match reviews::answer(self, call, &target.resource.plural, review) {
            Ok(review) => review,
            Err(status) => return refused(call, status, &decoded.warnings),
        };
        let mut response = tree_answer(call, 201, &review)?;
        add_warnings(&mut response, &decoded.warnings);
        Ok(response)
    }

    /// The old way to bind: the pod's name stands in the body.
    async fn bind_by_body(&self, call: &mut Call, target: &Target) -> Result<Response<Body>, Status> {
        let options = write_options(call)?;
        let decoded = self.read_typed(call, target, &target.resource.gvk(), &options.field_validation).await?;
        let pods = self.registry.builtin("", "v1", "pods")?;
        let bind = Request {
            resource: pods,
            subresource: "binding".to_owned(),
            name: object::meta::name(&decoded.object).to_owned(),
            ..request(call, target)
        };
        match self.registry.bind(&bind, decoded.object, &options).await {
            Ok(written) => self.written(call, target, written, decoded.warnings),
            Err(status) => refused(call, status, &decoded.warnings),
        }
    }

    /// Deprecated upstream; what it would find out is in this process and works, or nobody would answer.
    fn components(&self, call: &Call, target: &Target) -> Result<Response<Body>, Status> {
        let one = |name: &str| {
            json!({
                "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
                "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
            })
        };
        let is_list = call.info.verb == "list";
        let names = ["controller-manager", "etcd-0", "scheduler"].into_iter().filter(|name| is_list || *name == call.info.name);
        let items: Vec<Value> = names.map(one).collect();
        if items.is_empty() {
            // Upstream: this one is named in the singular here.
            return Err(Status::not_found(&GroupResource::new("", "componentstatus"), &call.info.name));
        }
        if let Shape::Table(style) = call.wanted(true)?.shape {
            let table = table::of_trees(&target.resource, style, &items, is_list, self.registry.clock().now());
            return Ok(answer::tree(200, &table, Format::Json));
        }
        let list = || json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items});
        tree_answer(call, 200, &if is_list { list() } else { items[0].clone() })
    }
}
