//! net-plan
