//! Keeps notes in an SQL database of the app. Its table is made by the migrations beside the manifest.

use everwarm_sdk::http::{Method, StatusCode};
use everwarm_sdk::sql::{Connection, SqlError};
use everwarm_sdk::{Error, IntoResponse as _, Json, Request, Response, Result, params};
use serde::Serialize;

/// Notes that are listed, the newest first.
const LISTED_MAX: i64 = 100;

#[derive(Debug, PartialEq, Serialize)]
struct Note {
    id: i64,
    text: String,
    written_at: String,
}

#[everwarm_sdk::http]
async fn notes(request: Request) -> Result<Response> {
    let database = Connection::open("default")?;
    let id = request
        .uri()
        .path()
        .strip_prefix("/notes/")
        .map(str::to_owned);
    match (request.method(), id) {
        (&Method::GET, None) => Ok(Json(list(&database).await?).into_response()),
        (&Method::POST, None) => {
            let text = request.into_body().text().await?;
            let insert = "INSERT INTO note (text) VALUES (?1)";
            match database.execute(insert, params![text]).await {
                Ok(_) => Ok(StatusCode::CREATED.into_response()),
                Err(SqlError::Refused { code, .. }) if code == "SQLITE_CONSTRAINT_CHECK" => {
                    Err(Error::bad_request("a note has a text"))
                }
                Err(error) => Err(error.into()),
            }
        }
        (&Method::DELETE, Some(id)) => {
            let id: i64 = id
                .parse()
                .map_err(|_| Error::not_found("notes have numbers"))?;
            match database
                .execute("DELETE FROM note WHERE id = ?1", params![id])
                .await?
            {
                0 => Err(Error::not_found("there is no such note")),
                _ => Ok(StatusCode::NO_CONTENT.into_response()),
            }
        }
        _ => Err(Error::new(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

async fn list(database: &Connection) -> Result<Vec<Note>, SqlError> {
    let select = "SELECT id, text, written_at FROM note ORDER BY id DESC LIMIT ?1";
    let rows = database
        .query(select, params![LISTED_MAX])
        .await?
        .all()
        .await?;
    let note = |row: &everwarm_sdk::sql::Row| {
        Ok(Note {
            id: row.get("id")?,
            text: row.get("text")?,
            written_at: row.get("written_at")?,
        })
    };
    rows.iter().map(note).collect()
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::http::{Method, Request};
    use everwarm_sdk::sql::{SqlError, Value};
    use everwarm_sdk::testing::{SqlAnswer, block_on, call, on_sql};

    use super::notes;

    fn ask(method: Method, path: &str, body: &'static str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body)).expect("a valid request");
        let response = block_on(call(notes, request));
        let status = response.status().as_u16();
        (status, block_on(response.into_body().text()).expect("text"))
    }

    #[test]
    fn notes_are_listed() {
        on_sql(|_, _| {
            let row = vec![
                Value::from(7),
                Value::from("milk"),
                Value::from("2024-02-29T12:00:00Z"),
            ];
            Ok(SqlAnswer::rows(["id", "text", "written_at"], [row]))
        });
        let listed = r#"[{"id":7,"text":"milk","written_at":"2024-02-29T12:00:00Z"}]"#;
        assert_eq!(ask(Method::GET, "/notes", ""), (200, listed.to_owned()));
    }

    #[test]
    fn notes_are_written_and_removed() {
        on_sql(|statement, parameters| {
            assert_eq!(parameters.len(), 1, "{statement}");
            Ok(SqlAnswer::changed(u64::from(
                parameters[0] != Value::Integer(9),
            )))
        });
        assert_eq!(ask(Method::POST, "/notes", "milk").0, 201);
        assert_eq!(ask(Method::DELETE, "/notes/7", "").0, 204);
        assert_eq!(ask(Method::DELETE, "/notes/9", "").0, 404);
        assert_eq!(ask(Method::DELETE, "/notes/x", "").0, 404);
    }

    #[test]
    fn note_without_a_text_is_the_clients_mistake() {
        on_sql(|_, _| {
            Err(SqlError::Refused {
                code: "SQLITE_CONSTRAINT_CHECK".to_owned(),
                message: "CHECK constraint failed".to_owned(),
            })
        });
        assert_eq!(ask(Method::POST, "/notes", "").0, 400);
    }
}
