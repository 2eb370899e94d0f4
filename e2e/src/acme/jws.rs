//! Signed requests (RFC 7515, flattened, ES256, as RFC 8555 has them).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A request, with what it was signed over.
pub(super) struct Signed {
    pub(super) nonce: String,
    pub(super) url: String,
    pub(super) kid: Option<String>,
    pub(super) jwk: Option<Key>,
    pub(super) payload: Value,
    over: String,
    signature: Vec<u8>,
}

/// A public key on P-256, its coordinates as they were sent.
#[derive(Debug, Clone)]
pub(super) struct Key {
    x: String,
    y: String,
}

impl Key {
    fn of(jwk: &Value) -> Option<Self> {
        let is_known = jwk["kty"] == "EC" && jwk["crv"] == "P-256";
        let coordinate = |name: &str| Some(jwk[name].as_str()?.to_owned());
        is_known.then_some(())?;
        Some(Self {
            x: coordinate("x")?,
            y: coordinate("y")?,
        })
    }

    /// RFC 7638: the members that are needed, in order, without spaces.
    pub(super) fn thumbprint(&self) -> String {
        let Self { x, y } = self;
        let json = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(json))
    }
}

impl Signed {
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let part = |name: &str| {
            let part = body[name].as_str();
            part.ok_or_else(|| format!("`{name}` is missing"))
        };
        let decoded = |name: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(part(name)?);
            bytes.map_err(|error| format!("`{name}`: {error}"))
        };
        let head: Value = serde_json::from_slice(&decoded("protected")?)
            .map_err(|error| format!("`protected`: {error}"))?;
        let payload = decoded("payload")?;
        let named = |name: &str| {
            let named = head[name].as_str().map(ToOwned::to_owned);
            named.ok_or_else(|| format!("`{name}` is missing"))
        };
        let (kid, jwk) = (named("kid").ok(), Key::of(&head["jwk"]));
        if head["alg"] != "ES256" || kid.is_some() == jwk.is_some() {
            return Err("ES256 with either an account or a key was expected".to_owned());
        }
        Ok(Self {
            nonce: named("nonce")?,
            url: named("url")?,
            kid,
            jwk,
            // An empty one asks for what is there (RFC 8555, section 6.3).
            payload: serde_json::from_slice(&payload).unwrap_or_default(),
            over: format!("{}.{}", part("protected")?, part("payload")?),
            signature: decoded("signature")?,
        })
    }

    pub(super) fn verify(&self, key: &Key) -> Result<(), String> {
        let coordinate = |text: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
            bytes.map_err(|error| error.to_string())
        };
        // An uncompressed point (SEC 1, section 2.3.3).
        let point = [vec![4], coordinate(&key.x)?, coordinate(&key.y)?].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let verified = key.verify(self.over.as_bytes(), &self.signature);
        verified.map_err(|_| "the signature isn't the account's".to_owned())
    }
}
