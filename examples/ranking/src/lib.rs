//! Ranks players in a Redis server. Each request runs in a sandbox of its own, and finds a connection that waits in the node.

use everwarm_sdk::http::{Method, StatusCode};
use everwarm_sdk::redis::{Command, Redis, RedisError};
use everwarm_sdk::{Error, IntoResponse as _, Json, LazyRequest, Response, Result};
use serde::Serialize;

const KEY: &str = "ranking";
/// Rank of the last player that is listed; the first has 0.
const LAST: i64 = 9;

#[derive(Debug, Serialize)]
struct Player {
    name: String,
    won: i64,
}

#[everwarm_sdk::http]
async fn ranking(request: LazyRequest) -> Result<Response> {
    if request.method() != Method::GET {
        return Err(Error::new(StatusCode::METHOD_NOT_ALLOWED));
    }
    let path = request.path_and_query();
    let path = path.split('?').next().unwrap_or_default();
    let redis = Redis::server("scores");
    Ok(match path.strip_prefix("/won/") {
        Some(player) => Json(won(&redis, player).await?).into_response(),
        None => Json(best(&redis).await?).into_response(),
    })
}

/// One more. However many requests do so at a time, none is lost.
async fn won(redis: &Redis, player: &str) -> Result<Player, RedisError> {
    let command = Command::new("ZINCRBY").arg(KEY).arg(1).arg(player);
    Ok(Player {
        name: player.to_owned(),
        won: redis.execute(command).await?.into_integer()?,
    })
}

async fn best(redis: &Redis) -> Result<Vec<Player>, RedisError> {
    let command = Command::new("ZRANGE").arg(KEY).arg(0).arg(LAST);
    let command = command.arg("REV").arg("WITHSCORES");
    let listed = redis.execute(command).await?.into_list()?;
    let mut listed = listed.into_iter();
    let mut players = Vec::new();
    while let (Some(name), Some(won)) = (listed.next(), listed.next()) {
        players.push(Player {
            name: String::from_utf8_lossy(&name.into_bytes()?).into_owned(),
            won: won.into_integer()?,
        });
    }
    Ok(players)
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::http::Request;
    use everwarm_sdk::redis::Value;
    use everwarm_sdk::testing::{block_on, call, on_redis};

    use super::ranking;

    fn get(path: &str) -> String {
        let request = Request::get(path).body(Body::empty());
        let response = block_on(call(ranking, request.expect("a valid request")));
        assert_eq!(response.status(), 200);
        block_on(response.into_body().text()).expect("text")
    }

    #[test]
    fn who_has_won_is_ranked() {
        on_redis(|_, command| {
            let text = |text: &str| Value::Bytes(text.into());
            Ok(match &command[0][..] {
                b"ZINCRBY" => text("2"),
                _ => Value::List(vec![text("ann"), text("2"), text("bob"), text("1")]),
            })
        });
        assert_eq!(get("/won/ann"), r#"{"name":"ann","won":2}"#);
        assert_eq!(
            get("/ranking"),
            r#"[{"name":"ann","won":2},{"name":"bob","won":1}]"#
        );
    }
}
