//! Against the real kernel, as root, in network namespaces of the tests' own.

mod agent;
mod dns;
mod hosts;
mod node;
mod services;
