//! Plans as text: what goes in is what the API writes, what comes out is golden.

mod names;
mod resolv;
mod routes;
mod services;
mod table;
