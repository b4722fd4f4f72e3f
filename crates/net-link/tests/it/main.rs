//! Against the real kernel, as root, in network namespaces of the tests' own.
#![allow(unsafe_code)]

mod namespaces;
mod pods;
