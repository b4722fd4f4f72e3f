//! Whole clusters, seen from outside: the real binary, real containers, the real kubectl.

mod clients;
mod hardship;
mod lab;
mod life;
mod nodes;
mod services;
mod workloads;
