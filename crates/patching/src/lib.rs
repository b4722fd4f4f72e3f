//! patching
