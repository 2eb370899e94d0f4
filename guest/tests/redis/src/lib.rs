//! Asks Redis servers what a test asks for: a request's body is `{"server", "commands": [["GET", "k"], ...], "how"}` in JSON,
//! where `how` is `one` (the default, each by itself), `all` or `atomic`. An argument `{"bytes": n}` is so many bytes. The answer
//! is a list of what came of each, or `{"error", "said"}`.

use everwarm_sdk::redis::{Command, Redis, RedisError, Value};
use everwarm_sdk::{IntoResponse as _, Json, Response, Result};
use serde::Deserialize;
use serde_json::{Value as Shown, json};

#[derive(Deserialize)]
struct Asked {
    #[serde(default = "default_server")]
    server: String,
    commands: Vec<Vec<Shown>>,
    #[serde(default)]
    how: String,
}

fn default_server() -> String {
    "default".to_owned()
}

fn command(words: &[Shown]) -> Command {
    let bytes = |word: &Shown| match word {
        Shown::String(text) => text.clone().into_bytes(),
        Shown::Object(_) => {
            let count = word["bytes"].as_u64().unwrap_or_default();
            vec![0xff; usize::try_from(count).unwrap_or(usize::MAX)]
        }
        other => other.to_string().into_bytes(),
    };
    let mut words = words.iter();
    let name = words.next().map(bytes).unwrap_or_default();
    let command = Command::new(&String::from_utf8_lossy(&name));
    words.fold(command, |command, word| command.arg(bytes(word)))
}

fn shown(value: &Value) -> Shown {
    match value {
        Value::Nil => Shown::Null,
        Value::Integer(number) => json!(number),
        Value::Real(number) => json!(number),
        Value::Boolean(truth) => json!(truth),
        Value::Status(text) => json!({ "status": text }),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "bytes": bytes.len() }),
        },
        Value::List(values) => values.iter().map(shown).collect(),
        Value::Pairs(pairs) => pairs
            .iter()
            .map(|(key, value)| json!([shown(key), shown(value)]))
            .collect(),
        Value::Problem(text) => json!({ "problem": text }),
    }
}

fn failed(error: &RedisError) -> Shown {
    let kind = match error {
        RedisError::NoSuchServer => "no-such-server",
        RedisError::AccessDenied => "access-denied",
        RedisError::Refused(_) => "refused",
        RedisError::NotAllowed(_) => "not-allowed",
        RedisError::Unavailable(_) => "unavailable",
        RedisError::Timeout(_) => "timeout",
        RedisError::TooMuch(_) => "too-much",
        _ => "unexpected",
    };
    json!({ "error": kind, "said": error.to_string() })
}

#[everwarm_sdk::http]
async fn ask(Json(asked): Json<Asked>) -> Result<Response> {
    let redis = Redis::server(&asked.server);
    let commands: Vec<Command> = asked.commands.iter().map(|words| command(words)).collect();
    let answers = match &*asked.how {
        "all" => redis.execute_all(&commands).await,
        "atomic" => redis.transaction(&commands).await,
        _ => {
            let mut answers = Vec::new();
            for command in commands {
                answers.push(match redis.execute(command).await {
                    Ok(answer) => shown(&answer),
                    Err(error) => failed(&error),
                });
            }
            return Ok(Json(answers).into_response());
        }
    };
    let answers = match answers {
        Ok(answers) => answers.iter().map(shown).collect(),
        Err(error) => failed(&error),
    };
    Ok(Json(answers).into_response())
}
