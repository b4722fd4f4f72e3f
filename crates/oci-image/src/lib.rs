//! oci-image
