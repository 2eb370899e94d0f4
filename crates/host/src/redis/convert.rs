//! The interface of Redis servers, for both versions of WASI. Converts, and knows nothing else.

use everwarm_engine::Sandbox;
use redis::Value;

use super::{Command, Failure, Granted};
use crate::patience::until;
use bindings::everwarm::redis::client::{self, Error, Item};

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/redis",
        world: "everwarm:redis/redis",
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoSuchServer => Self::NoSuchServer,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Refused(text) => Self::Refused(text),
            Failure::NotAllowed(text) => Self::NotAllowed(text),
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Timeout(text) => Self::Timeout(text),
            Failure::TooMuch(text) => Self::TooMuch(text),
        }
    }
}

fn length(count: usize) -> u32 {
    // An answer of 4 MiB has fewer parts.
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Lists an answer, and those in it behind it. The client bounds how deep they are in each other.
fn list(value: Value, items: &mut Vec<Item>) {
    match value {
        Value::Int(number) => items.push(Item::Integer(number)),
        Value::Double(number) => items.push(Item::Real(number)),
        Value::Boolean(truth) => items.push(Item::Boolean(truth)),
        Value::Okay => items.push(Item::Status("OK".to_owned())),
        Value::SimpleString(text) => items.push(Item::Status(text)),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => items.push(Item::Bytes(bytes)),
        Value::VerbatimString { text, .. } => items.push(Item::Bytes(text.into_bytes())),
        Value::ServerError(error) => {
            let said = [Some(error.code()), error.details()];
            let said: Vec<&str> = said.into_iter().flatten().collect();
            items.push(Item::Problem(said.join(" ")));
        }
        Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
            items.push(Item::Items(length(values.len())));
            for value in values {
                list(value, items);
            }
        }
        Value::Map(pairs) => {
            items.push(Item::Pairs(length(pairs.len())));
            for (key, value) in pairs {
                list(key, items);
                list(value, items);
            }
        }
        Value::Attribute { data, .. } => list(*data, items),
        // Nothing, or a kind of answer that the protocol got since: the node asks for the oldest one, which has none.
        _ => items.push(Item::Nil),
    }
}

async fn ask(
    sandbox: &mut Sandbox,
    server: &str,
    commands: &[Command],
    is_atomic: bool,
) -> wasmtime::Result<Result<Vec<Item>, Error>> {
    let until = until(sandbox);
    let Some(granted) = sandbox.state::<Granted>() else {
        return Ok(Err(Error::AccessDenied));
    };
    let answers = granted.ask(server, commands, is_atomic, until).await;
    Ok(answers.map_err(Error::from).map(|answers| {
        let mut items = Vec::new();
        for answer in answers {
            list(answer, &mut items);
        }
        items
    }))
}

impl client::Host for Sandbox {
    async fn execute(
        &mut self,
        server: String,
        command: Command,
    ) -> wasmtime::Result<Result<Vec<Item>, Error>> {
        ask(self, &server, &[command], false).await
    }

    async fn execute_all(
        &mut self,
        server: String,
        commands: Vec<Command>,
        atomic: bool,
    ) -> wasmtime::Result<Result<Vec<Item>, Error>> {
        ask(self, &server, &commands, atomic).await
    }
}
