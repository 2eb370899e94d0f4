//! Gives away seats, each once, in a Postgres server. Each request runs in a sandbox of its own, and finds a connection that waits
//! in the node.

use everwarm_sdk::http::{Method, StatusCode};
use everwarm_sdk::sql::{Access, Connection, Row, SqlError};
use everwarm_sdk::{Error, IntoResponse as _, Json, Request, Response, Result, params};
use serde::Serialize;

/// The first seat that is free. Who asks at the same time takes the next one, and doesn't wait.
const TAKE: &str = "UPDATE seat SET taken_by = $1 WHERE number = \
    (SELECT number FROM seat WHERE taken_by IS NULL ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING number";
const SELL: &str = "INSERT INTO sale (seat, name) VALUES ($1, $2)";
const LIST: &str = "SELECT number, taken_by FROM seat ORDER BY number";
/// Postgres' code for a row that a `CHECK` refuses.
const CHECK_VIOLATION: &str = "23514";

#[derive(Debug, Serialize)]
struct Seat {
    number: i64,
    taken_by: Option<String>,
}

#[everwarm_sdk::http]
async fn seats(request: Request) -> Result<Response> {
    let theatre = Connection::open("theatre")?;
    match *request.method() {
        Method::GET => Ok(Json(list(&theatre).await?).into_response()),
        Method::POST => {
            let name = request.into_body().text().await?;
            match take(&theatre, name).await {
                Ok(Some(seat)) => Ok((StatusCode::CREATED, Json(seat)).into_response()),
                Ok(None) => {
                    Err(Error::new(StatusCode::CONFLICT).with_detail("every seat is taken"))
                }
                Err(SqlError::Refused { code, .. }) if code == CHECK_VIOLATION => {
                    Err(Error::bad_request("say who takes the seat"))
                }
                Err(error) => Err(error.into()),
            }
        }
        _ => Err(Error::new(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

async fn list(theatre: &Connection) -> Result<Vec<Seat>, SqlError> {
    let seat = |row: &Row| {
        Ok(Seat {
            number: row.get("number")?,
            taken_by: row.get("taken_by")?,
        })
    };
    let rows = theatre.query(LIST, []).await?.all().await?;
    rows.iter().map(seat).collect()
}

/// Both the seat and its sale, or neither: what isn't committed is undone.
async fn take(theatre: &Connection, name: String) -> Result<Option<Seat>, SqlError> {
    let transaction = theatre.begin(Access::Write).await?;
    let taken = transaction.query(TAKE, params![name.clone()]).await?;
    let Some(row) = taken.all().await?.into_iter().next() else {
        return Ok(None);
    };
    let number: i64 = row.get("number")?;
    let sale = params![number, name.clone()];
    transaction.execute(SELL, sale).await?;
    transaction.commit().await?;
    Ok(Some(Seat {
        number,
        taken_by: Some(name),
    }))
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::http::{Method, Request};
    use everwarm_sdk::sql::{SqlError, Value};
    use everwarm_sdk::testing::{SqlAnswer, block_on, call, on_sql};

    use super::seats;

    fn ask(method: Method, body: &'static str) -> (u16, String) {
        let request = Request::builder().method(method).uri("/seats");
        let request = request.body(Body::from(body)).expect("a valid request");
        let response = block_on(call(seats, request));
        let status = response.status().as_u16();
        (status, block_on(response.into_body().text()).expect("text"))
    }

    #[test]
    fn free_seat_is_taken_and_the_sale_written() {
        on_sql(|statement, parameters| {
            Ok(match statement {
                "BEGIN" | "COMMIT" => SqlAnswer::default(),
                super::TAKE => SqlAnswer::rows(["number"], [vec![Value::from(2)]]),
                super::SELL => {
                    assert_eq!(parameters, [Value::from(2), Value::from("ann")]);
                    SqlAnswer::changed(1)
                }
                other => panic!("{other}"),
            })
        });
        let said = r#"{"number":2,"taken_by":"ann"}"#;
        assert_eq!(ask(Method::POST, "ann"), (201, said.to_owned()));
    }

    #[test]
    fn nothing_is_sold_when_every_seat_is_taken() {
        on_sql(|statement, _| {
            assert_ne!(statement, super::SELL);
            Ok(SqlAnswer::rows(["number"], []))
        });
        assert_eq!(ask(Method::POST, "ann").0, 409);
    }

    #[test]
    fn nobody_takes_no_seat() {
        on_sql(|statement, _| match statement {
            super::SELL => Err(SqlError::Refused {
                code: "23514".to_owned(),
                message: "violates check constraint".to_owned(),
            }),
            "COMMIT" => panic!("it isn't kept"),
            _ => Ok(SqlAnswer::rows(["number"], [vec![Value::from(1)]])),
        });
        assert_eq!(ask(Method::POST, "").0, 400);
    }

    #[test]
    fn seats_are_listed() {
        on_sql(|_, _| {
            let rows = [
                vec![Value::from(1), Value::from("ann")],
                vec![Value::from(2), Value::Null],
            ];
            Ok(SqlAnswer::rows(["number", "taken_by"], rows))
        });
        let listed = r#"[{"number":1,"taken_by":"ann"},{"number":2,"taken_by":null}]"#;
        assert_eq!(ask(Method::GET, ""), (200, listed.to_owned()));
    }
}
