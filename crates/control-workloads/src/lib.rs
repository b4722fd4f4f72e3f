//! control-workloads
