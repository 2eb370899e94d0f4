//! The form of a token: what a client sends, and what a node keeps of it.
//!
//! `ewt_<id>_<secret>`: 8 and 32 random bytes in hexadecimal digits. The prefix is there for scanners that look for
//! secrets in public places. A node keeps the hash of the secret alone; a secret of 256 random bits needs no slower
//! hash than SHA-256.

use std::fmt::Write as _;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How every token begins.
pub const PREFIX: &str = "ewt_";
/// Bytes of a token's public name.
pub const ID_BYTES: usize = 8;
/// Bytes of a token's secret.
pub const SECRET_BYTES: usize = 32;

/// A token as it is sent.
#[derive(Debug, Clone)]
pub struct Token {
    id: [u8; ID_BYTES],
    text: SecretString,
    secret_hash: [u8; 32],
}

/// A text that is no token. What it was isn't said: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no token: one begins with `{PREFIX}` and has 86 more characters, without spaces")]
pub struct TokenError;

impl Token {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self::of(id, &secret))
    }

    fn of(id: [u8; ID_BYTES], secret: &[u8; SECRET_BYTES]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + 2 * (ID_BYTES + SECRET_BYTES) + 1);
        // Writing to a String can't fail.
        let _ = write!(text, "{PREFIX}{}_{}", hex::encode(id), hex::encode(secret));
        Self {
            id,
            text: text.into(),
            secret_hash: Sha256::digest(secret).into(),
        }
    }

    /// Reads one as it was sent.
    ///
    /// # Errors
    /// When it doesn't have the form.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(TokenError)?;
        let (id_digits, secret_digits) = rest.split_once('_').ok_or(TokenError)?;
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        hex::decode_to_slice(id_digits, &mut id).map_err(|_| TokenError)?;
        hex::decode_to_slice(secret_digits, &mut secret).map_err(|_| TokenError)?;
        Ok(Self::of(id, &secret))
    }

    /// Its public name.
    pub fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    /// What is sent. Nothing but a request's header and the file that the owner reads may have it.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What a node keeps.
    pub fn secret_hash(&self) -> [u8; 32] {
        self.secret_hash
    }

    /// Whether its secret has this hash, in a time that says nothing of where they differ.
    pub fn matches(&self, secret_hash: &[u8; 32]) -> bool {
        self.secret_hash.ct_eq(secret_hash).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_reads_back_and_shows_its_secret_nowhere_else() {
        let token = Token::random().unwrap();
        let again = Token::parse(token.expose()).unwrap();
        assert_eq!(again.id(), token.id());
        assert!(again.matches(&token.secret_hash()));
        let secret = token.expose().rsplit('_').next().unwrap();
        assert!(!format!("{token:?}").contains(secret));
    }

    #[test]
    fn two_tokens_differ() {
        let (one, two) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one.id(), two.id());
        assert!(!one.matches(&two.secret_hash()));
    }

    proptest! {
        #[test]
        fn no_text_but_a_token_is_one(text: String) {
            if let Ok(token) = Token::parse(&text) {
                prop_assert_eq!(token.expose(), text.trim().to_ascii_lowercase());
            }
        }

        #[test]
        fn token_with_a_character_more_or_less_is_none(id: [u8; 8], secret: [u8; 32], at in 0_usize..86) {
            let token = Token::of(id, &secret);
            let text = token.expose();
            let at = PREFIX.len() + at % (text.len() - PREFIX.len());
            let (front, back) = text.split_at(at);
            let inserted = format!("{front}0{back}");
            prop_assert_eq!(Token::parse(&inserted).map(|token| token.id()), Err(TokenError));
            prop_assert_eq!(
                Token::parse(&format!("{front}{}", &back[1..])).map(|token| token.id()),
                Err(TokenError)
            );
        }
    }
}
