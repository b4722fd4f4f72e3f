//! One request on its way through the handler: what was sent, who sent it, and what it asks for.

use std::net::IpAddr;
use std::sync::Arc;

use authz::UserInfo;
use http::{HeaderMap, Method, header};
use object::status::Status;

use crate::body::RequestBody;
use crate::metrics::UnderWay;
use crate::negotiate::Include;
use crate::negotiate::{self, Format, Shape, Wanted};
use crate::query::Query;
use crate::request_info::RequestInfo;

pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) query: Query,
    /// The query as it was sent, for requests that are passed on.
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) info: RequestInfo,
    pub(crate) user: Arc<UserInfo>,
    /// Where it comes from; `None` for who is in this process.
    pub(crate) client_ip: Option<IpAddr>,
    /// The caller is in this process.
    pub(crate) is_near: bool,
    pub(crate) body: RequestBody,
    pub(crate) upgrade: Option<hyper::upgrade::OnUpgrade>,
    /// Counts the request; goes where its answer goes.
    pub(crate) under_way: Option<UnderWay>,
}

impl Call {
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn wanted(&self, shapes: bool) -> Result<Wanted, Status> {
        let mut wanted = negotiate::wanted(self.header(header::ACCEPT), shapes).map_err(|refusal| match self.info.verb {
            "list" | "watch" if refusal.message.starts_with("406: ") => Status { message: refusal.message + negotiate::STREAMS, ..refusal },
            _ => refusal,
        })?;
        if let Shape::Table(style) = &mut wanted.shape {
            style.include = Include::parse(self.query.get("includeObject").unwrap_or(""))?;
        }
        Ok(wanted)
    }

    pub(crate) fn sent_format(&self) -> Result<Format, Status> {
        negotiate::sent(self.header(header::CONTENT_TYPE))
    }

    /// What a failure is written in: what the client can read best, JSON when it cannot be known.
    pub(crate) fn failure_format(&self) -> Format {
        match self.wanted(true) {
            Ok(Wanted { format: Format::Protobuf, shape, .. }) if shape != Shape::AsIs => Format::Json,
            wanted => wanted.map_or(Format::Json, |wanted| wanted.format),
        }
    }
}
