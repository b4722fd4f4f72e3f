//! net-link
