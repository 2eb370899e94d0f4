//! Answers, and how they are put together again from the list that a host makes of them.

use super::RedisError;

/// What a command answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// A number that may have a fraction.
    Real(f64),
    /// A truth.
    Boolean(bool),
    /// A status, such as `OK`.
    Status(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Answers that are one.
    List(Vec<Self>),
    /// Pairs of answers that are one.
    Pairs(Vec<(Self, Self)>),
    /// Why one command among several wasn't done.
    Problem(String),
}

impl Value {
    /// The number, which may be written as text.
    ///
    /// # Errors
    /// [`RedisError::Unexpected`] when it is none, [`RedisError::Refused`] when it is a problem.
    pub fn into_integer(self) -> Result<i64, RedisError> {
        match self {
            Self::Integer(number) => Ok(number),
            Self::Bytes(bytes) => {
                let text = std::str::from_utf8(&bytes).ok();
                let number = text.and_then(|text| text.parse().ok());
                number.ok_or(RedisError::Unexpected(Self::Bytes(bytes)))
            }
            other => Err(other.unexpected()),
        }
    }

    /// The bytes, or those of a status.
    ///
    /// # Errors
    /// As [`Value::into_integer`].
    pub fn into_bytes(self) -> Result<Vec<u8>, RedisError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Status(text) => Ok(text.into_bytes()),
            other => Err(other.unexpected()),
        }
    }

    /// The answers in it.
    ///
    /// # Errors
    /// As [`Value::into_integer`].
    pub fn into_list(self) -> Result<Vec<Self>, RedisError> {
        match self {
            Self::List(values) => Ok(values),
            other => Err(other.unexpected()),
        }
    }

    fn unexpected(self) -> RedisError {
        match self {
            Self::Problem(text) => RedisError::Refused(text),
            other => RedisError::Unexpected(other),
        }
    }
}

/// A part of an answer, as a host lists them: each list before what is in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    One(Value),
    List(u32),
    Pairs(u32),
}

/// The answers that a host lists. What a list should have and isn't there is left out.
pub(crate) fn answers(items: Vec<Item>) -> Vec<Value> {
    let mut items = items.into_iter();
    let mut answers = Vec::new();
    while let Some(answer) = answer(&mut items) {
        answers.push(answer);
    }
    answers
}

fn answer(items: &mut impl Iterator<Item = Item>) -> Option<Value> {
    Some(match items.next()? {
        Item::One(value) => value,
        Item::List(count) => {
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(answer(items)?);
            }
            Value::List(values)
        }
        Item::Pairs(count) => {
            let mut pairs = Vec::new();
            for _ in 0..count {
                pairs.push((answer(items)?, answer(items)?));
            }
            Value::Pairs(pairs)
        }
    })
}
