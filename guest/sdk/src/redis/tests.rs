//! Redis against a closure of the test's.

use std::time::Duration;

use super::value::{Item, answers};
use super::{Command, Redis, RedisError, Value};
use crate::testing::{block_on, on_redis};

#[test]
fn commands_are_what_redis_knows_and_answers_what_was_asked_for() {
    on_redis(|server, command| {
        assert_eq!(server, "cache");
        let words: Vec<&str> = command
            .iter()
            .map(|word| std::str::from_utf8(word).expect("text"))
            .collect();
        Ok(match words[..] {
            ["GET", "a"] => Value::Bytes(b"one".to_vec()),
            ["GET", _] => Value::Nil,
            ["SET", "a", "one", "PX", "1500"] | ["SET", "a", "one"] => {
                Value::Status("OK".to_owned())
            }
            ["INCRBY", "n", "-2"] => Value::Integer(5),
            ["DEL", "a", "b"] => Value::Integer(1),
            ["HGETALL", "h"] => return Err(RedisError::Refused("WRONGTYPE no hash".to_owned())),
            ref other => panic!("{other:?}"),
        })
    });
    let redis = Redis::server("cache");
    block_on(async {
        assert_eq!(redis.get("a").await, Ok(Some(b"one".to_vec())));
        assert_eq!(redis.get("b").await, Ok(None));
        assert_eq!(redis.set("a", "one").await, Ok(()));
        assert_eq!(
            redis
                .set_for("a", "one", Duration::from_millis(1_500))
                .await,
            Ok(())
        );
        assert_eq!(redis.increment("n", -2).await, Ok(5));
        assert_eq!(redis.delete(&["a", "b"]).await, Ok(1));
        let hash = Command::new("HGETALL").arg("h");
        let refused = RedisError::Refused("WRONGTYPE no hash".to_owned());
        assert_eq!(redis.execute(hash.clone()).await, Err(refused));
        // Among several it is one's own.
        let all = redis
            .execute_all(&[hash, Command::new("GET").arg("a")])
            .await
            .expect("answers");
        assert_eq!(
            all,
            [
                Value::Problem("WRONGTYPE no hash".to_owned()),
                Value::Bytes(b"one".to_vec())
            ]
        );
    });
}

#[test]
fn answers_in_answers_are_put_together_again() {
    let one = |number| Item::One(Value::Integer(number));
    let items = vec![
        Item::List(2),
        one(1),
        Item::Pairs(1),
        one(2),
        Item::List(0),
        one(3),
    ];
    let pairs = Value::Pairs(vec![(Value::Integer(2), Value::List(vec![]))]);
    assert_eq!(
        answers(items),
        [
            Value::List(vec![Value::Integer(1), pairs]),
            Value::Integer(3)
        ]
    );
    assert_eq!(answers(vec![Item::List(3), one(1)]), []);
}
