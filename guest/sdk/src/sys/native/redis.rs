//! Redis as unit tests have it: a closure of the test's answers each command.

use std::cell::RefCell;
use std::rc::Rc;

use crate::redis::{Command, Item, RedisError, Value};

/// What answers commands.
type Server = Rc<dyn Fn(&str, &[Vec<u8>]) -> Result<Value, RedisError>>;

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Has commands answered by this from now on.
pub(crate) fn on_redis(answer: impl Fn(&str, &[Vec<u8>]) -> Result<Value, RedisError> + 'static) {
    SERVER.set(Some(Rc::new(answer)));
}

pub(crate) fn execute(server: &str, command: &[Vec<u8>]) -> Result<Vec<Item>, RedisError> {
    let answer = SERVER.with_borrow(Clone::clone);
    let answer = answer.ok_or_else(|| {
        let text = "there is no Redis server in a unit test: see `testing::on_redis`";
        RedisError::Unavailable(text.to_owned())
    })?;
    let mut items = Vec::new();
    list(answer(server, command)?, &mut items);
    Ok(items)
}

/// Lists an answer as a host does.
fn list(value: Value, items: &mut Vec<Item>) {
    let length = |count| u32::try_from(count).unwrap_or(u32::MAX);
    match value {
        Value::List(values) => {
            items.push(Item::List(length(values.len())));
            for value in values {
                list(value, items);
            }
        }
        Value::Pairs(pairs) => {
            items.push(Item::Pairs(length(pairs.len())));
            for (key, value) in pairs {
                list(key, items);
                list(value, items);
            }
        }
        one => items.push(Item::One(one)),
    }
}

pub(crate) fn execute_all(
    server: &str,
    commands: &[Command],
    _is_atomic: bool,
) -> Result<Vec<Item>, RedisError> {
    let mut items = Vec::new();
    for command in commands {
        match execute(server, &command.0) {
            Ok(answer) => items.extend(answer),
            // What a server says of one command among several is that one's answer.
            Err(RedisError::Refused(text)) => items.push(Item::One(Value::Problem(text))),
            Err(error) => return Err(error),
        }
    }
    Ok(items)
}
