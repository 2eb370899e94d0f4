//! Redis servers: commands and what they answer. How the host is asked is `sys`.

mod command;
mod error;
#[cfg(test)]
mod tests;
mod value;

use std::time::Duration;

pub use self::command::{Argument, Command};
pub use self::error::RedisError;
pub(crate) use self::value::Item;
pub use self::value::Value;
use crate::sys;

/// One of the app's Redis servers. The node has connections to it; a function that is new finds them there.
///
/// ```
/// use everwarm_sdk::redis::Redis;
/// use everwarm_sdk::Result;
///
/// #[everwarm_sdk::http]
/// async fn visits() -> Result<String> {
///     let redis = Redis::server("default");
///     let count = redis.increment("visits", 1).await?;
///     Ok(format!("visit {count}\n"))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    server: String,
}

#[expect(
    clippy::unused_async,
    reason = "the host answers at once today; WASI's interfaces are becoming async"
)]
impl Redis {
    /// The server called `name` in the manifest, which has to grant it. It is asked with the first command.
    pub fn server(name: &str) -> Self {
        Self {
            server: name.to_owned(),
        }
    }

    /// Has a command done.
    ///
    /// ```
    /// use everwarm_sdk::redis::{Command, Redis, RedisError, Value};
    ///
    /// async fn push(redis: &Redis, line: &str) -> Result<Value, RedisError> {
    ///     redis.execute(Command::new("RPUSH").arg("lines").arg(line)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// When it isn't done, or the answer doesn't come.
    pub async fn execute(&self, command: Command) -> Result<Value, RedisError> {
        let items = sys::redis::execute(&self.server, &command.0)?;
        let mut answers = value::answers(items);
        Ok(answers.pop().unwrap_or(Value::Nil))
    }

    /// Has several commands done with one wait for the server. Each answer may be a [`Value::Problem`] of its own.
    ///
    /// # Errors
    /// When none is known to be done.
    pub async fn execute_all(&self, commands: &[Command]) -> Result<Vec<Value>, RedisError> {
        let items = sys::redis::execute_all(&self.server, commands, false)?;
        Ok(value::answers(items))
    }

    /// As [`Redis::execute_all`], and nobody else's commands are done in between.
    ///
    /// # Errors
    /// As [`Redis::execute_all`]; a command that can't be means that none is done.
    pub async fn transaction(&self, commands: &[Command]) -> Result<Vec<Value>, RedisError> {
        let items = sys::redis::execute_all(&self.server, commands, true)?;
        Ok(value::answers(items))
    }

    /// What is under a key.
    ///
    /// # Errors
    /// As [`Redis::execute`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisError> {
        match self.execute(Command::new("GET").arg(key)).await? {
            Value::Nil => Ok(None),
            value => value.into_bytes().map(Some),
        }
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// As [`Redis::execute`].
    pub async fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), RedisError> {
        let command = Command::new("SET").arg(key).arg(value.as_ref());
        self.execute(command).await.map(drop)
    }

    /// As [`Redis::set`]; it is gone after that time, of 1 ms at least.
    ///
    /// # Errors
    /// As [`Redis::execute`].
    pub async fn set_for(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        time_to_live: Duration,
    ) -> Result<(), RedisError> {
        let ms = u64::try_from(time_to_live.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let command = Command::new("SET").arg(key).arg(value.as_ref());
        self.execute(command.arg("PX").arg(ms)).await.map(drop)
    }

    /// Removes keys. Says how many there were.
    ///
    /// # Errors
    /// As [`Redis::execute`].
    pub async fn delete(&self, keys: &[&str]) -> Result<i64, RedisError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let command = keys
            .iter()
            .fold(Command::new("DEL"), |command, key| command.arg(*key));
        self.execute(command).await?.into_integer()
    }

    /// Adds to the number under a key, and returns the sum.
    ///
    /// # Errors
    /// As [`Redis::execute`].
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, RedisError> {
        let command = Command::new("INCRBY").arg(key).arg(delta);
        self.execute(command).await?.into_integer()
    }
}
