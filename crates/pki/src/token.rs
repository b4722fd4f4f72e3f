//! The key that signs service account tokens: ES256 JSON web tokens, as bytes in and out. What the claims mean is `apiserver`'s matter.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::Error;

/// Signs and checks tokens; the key id is the digest of the public key.
pub struct TokenKey {
    key: EcdsaKeyPair,
    id: String,
}

impl TokenKey {
    /// `<dir>/sa.key`, made at the first call.
    pub fn load_or_create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("sa.key");
        if !path.exists() {
            let key = rcgen::KeyPair::generate().map_err(|e| Error::Issue("service account tokens".to_owned(), e))?;
            crate::write_private(&path, &key.serialize_pem())?;
        }
        let pem = std::fs::read_to_string(&path).map_err(|e| Error::File(path, e))?;
        TokenKey::from_pem(&pem)
    }

    /// A key of its own, for tests and simulations.
    pub fn generate() -> Result<Self, Error> {
        let key = rcgen::KeyPair::generate().map_err(|e| Error::Issue("service account tokens".to_owned(), e))?;
        TokenKey::from_pem(&key.serialize_pem())
    }

    fn from_pem(pem: &str) -> Result<Self, Error> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| Error::Malformed(format!("token key: {e}")))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &SystemRandom::new())
            .map_err(|e| Error::Malformed(format!("token key: {e}")))?;
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, key.public_key().as_ref()));
        Ok(TokenKey { key, id })
    }

    /// Signs `claims` (JSON text).
    pub fn sign(&self, claims: &str) -> Result<String, Error> {
        let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.id);
        let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), body.as_bytes()).map_err(|_| Error::Malformed("signature".to_owned()))?;
        Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims (JSON text) of a token this key signed; `None` for anything else. Expiry is the caller's to check.
    pub fn verify(&self, token: &str) -> Option<String> {
        let (body, signature) = token.rsplit_once('.')?;
        let (header, claims) = body.split_once('.')?;
        let header: String = String::from_utf8(URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        // The algorithm is ours to choose, never the token's.
        if !header.contains(r#""alg":"ES256""#) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref()).verify(body.as_bytes(), &signature).ok()?;
        String::from_utf8(URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key's coordinates `x` and `y`, as a JSON web key writes them.
    pub fn jwk_coordinates(&self) -> (String, String) {
        let point = self.key.public_key().as_ref();
        (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]))
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}
