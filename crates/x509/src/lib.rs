//! What stands inside of PEM, of certificates, certificate requests and public keys, as far as validation asks; and what is wrong with
//! them in the words of Go's libraries, which upstream passes on to its users.
//!
//! Nothing is issued or trusted here (`pki` does), and names of people are not looked at. Signatures are verified by ring, which knows
//! no P-521 and no ECDSA with SHA-512: those fail here.
//! Start with `request::parse` and `certificate::parse`.

pub mod certificate;
mod der;
pub mod key;
pub mod pem;
pub mod request;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
