//! Certificates and what is around them, bent.

use crate::{certificate, pem, request};

const REQUEST: &str = include_str!("../golden/p256.csr");
const CERTIFICATE: &str = include_str!("../golden/authority.crt");

#[test]
fn pem_and_der() {
    ::fuzz::run(&[REQUEST, CERTIFICATE], &["-----BEGIN ", "-----END ", "CERTIFICATE", "A: b\n"], |bytes| {
        pem::blocks(bytes).fold(false, |is_read, block| {
            let request = request::parse(&block.bytes);
            let is_fine = request.as_ref().is_ok_and(|request| request.check_signature().is_ok() || true);
            is_read | is_fine | certificate::parse(&block.bytes).is_ok()
        })
    });
}
