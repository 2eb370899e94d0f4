//! Answers to HTTP-01 challenges (RFC 8555, section 8.3), for as long as an authority may ask for them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// What is answered, by token. There is one for each order under way.
#[derive(Debug, Default)]
pub struct Challenges(RwLock<HashMap<String, String>>);

/// An answer that is given until this is dropped.
#[derive(Debug)]
pub(super) struct Posted {
    challenges: Arc<Challenges>,
    token: String,
}

impl Challenges {
    /// The answer to a challenge, if it is one of an order under way.
    pub fn answer(&self, token: &str) -> Option<String> {
        self.0.read().get(token).cloned()
    }

    pub(super) fn post(self: &Arc<Self>, token: String, answer: String) -> Posted {
        self.0.write().insert(token.clone(), answer);
        Posted {
            challenges: Arc::clone(self),
            token,
        }
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.challenges.0.write().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_there_for_as_long_as_its_order() {
        let challenges = Arc::new(Challenges::default());
        let posted = challenges.post("t".to_owned(), "t.key".to_owned());
        assert_eq!(challenges.answer("t").as_deref(), Some("t.key"));
        assert_eq!(challenges.answer("x"), None);
        drop(posted);
        assert_eq!(challenges.answer("t"), None);
    }
}
