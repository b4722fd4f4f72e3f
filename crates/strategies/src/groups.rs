//! The rows of all built-in kinds, one file an API group.

mod apps;
mod batch;
mod certificates;
mod core;
mod extension;
mod networking;
mod other;
mod storage;

use crate::row::Row;

pub(crate) use core::{app_armor_profile, quality_of_pod};

pub(crate) const ROWS: &[&[Row]] =
    &[core::ROWS, apps::ROWS, batch::ROWS, networking::ROWS, storage::ROWS, certificates::ROWS, extension::ROWS, other::ROWS];
