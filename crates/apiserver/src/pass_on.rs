//! Requests that another server answers: kubelets, pods, services.

use std::sync::Arc;

use http::Response;
use object::status::Status;

use crate::ApiServer;
use crate::body::Body;
use crate::call::Call;
use crate::resources::Target;

impl ApiServer {
    pub(crate) async fn pass_on(self: &Arc<Self>, _call: &mut Call, _target: &Target) -> Result<Response<Body>, Status> {
        Err(Status::unavailable("not there yet"))
    }
}
