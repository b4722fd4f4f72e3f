//! The node agent against the real API server over a memory store, on a played host and virtual time.

mod cluster;
mod life;
