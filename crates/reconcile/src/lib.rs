//! Observing and acting for every loop: caches kept by watches, and the one driver that plans and writes.
//!
//! A controller is a row for the driver (what it watches, and a pure `plan`) and has no loop of its own.
//! Not here: any decision about objects; those are in the `control-*` and `scheduling` crates.
//!
//! Invariants:
//! - a cached object is never changed, only replaced;
//! - of one controller, a key is planned by one worker at a time, and only after the caches have seen that key's own writes;
//! - every queue and buffer is bounded, by a number or by the count of keys.
//!
//! Start with `cache` and `informers`, then `controller`, `driver`.

pub mod cache;
pub mod subscription;

pub mod informers;

mod changed;
mod informer;
mod kept;
mod lock;

pub mod reduced;

pub mod controller;
pub mod driver;

mod act;
mod queue;

pub mod events;

mod correlate;
mod metrics;

pub use cache::{Cache, Index};
pub use changed::Changed;
pub use controller::{Ask, Controller};
pub use driver::Driver;
pub use events::Recorder;
pub use informers::Informers;
pub use subscription::Subscription;
