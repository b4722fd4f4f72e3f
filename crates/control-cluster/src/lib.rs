//! control-cluster
