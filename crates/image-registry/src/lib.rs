//! image-registry
