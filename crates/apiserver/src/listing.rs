//! A list that was read and is to be answered.

use std::sync::Arc;

use kinds::Resource;
use registry::List;

use crate::ApiServer;
use crate::negotiate::Wanted;

pub(crate) struct Listing {
    pub(crate) server: Arc<ApiServer>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) wanted: Wanted,
    pub(crate) list: List,
}
