//! image-build
