//! The rows that make a cluster heal itself, wired to the one driver.

mod scheduler;

pub use scheduler::controller as scheduler;
