//! A JSON API on an axum router. Every instance is fresh, so the todos are computed and not kept.

use axum::extract::{Path, Query};
use axum::routing::get;
use axum::{Json, Router};
use everwarm_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

/// How many todos there are.
const TODOS: u32 = 100;

/// The most that one page holds.
const PAGE_MAX: u32 = 50;

#[derive(Debug, Serialize)]
struct Todo {
    id: u32,
    title: String,
    done: bool,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default = "first")]
    from: u32,
    #[serde(default = "ten")]
    count: u32,
}

#[derive(Debug, Deserialize)]
struct Draft {
    title: String,
}

/// Called once an instance: all requests that it answers go through this router.
#[everwarm_sdk::http]
fn app() -> Router {
    Router::new()
        .route("/api/todos", get(list).post(check))
        .route("/api/todos/{id}", get(one))
}

async fn list(Query(page): Query<Page>) -> Result<Json<Vec<Todo>>> {
    if page.count > PAGE_MAX {
        return Err(
            Error::bad_request(format!("a page holds at most {PAGE_MAX} todos"))
                .with_member("count_max", PAGE_MAX),
        );
    }
    let last = page.from.saturating_add(page.count).min(TODOS + 1);
    Ok(Json((page.from..last).map(todo).collect()))
}

async fn one(Path(id): Path<String>) -> Result<Json<Todo>> {
    let id: u32 = id
        .parse()
        .map_err(|_| Error::bad_request(format!("{id:?} is no number")))?;
    if !(1..=TODOS).contains(&id) {
        return Err(Error::not_found(format!("there is no todo {id}")).with_title("No such todo"));
    }
    Ok(Json(todo(id)))
}

/// Says what a new todo would look like.
async fn check(Json(draft): Json<Draft>) -> Result<Json<Todo>> {
    if draft.title.trim().is_empty() {
        return Err(Error::bad_request("a todo needs a title"));
    }
    Ok(Json(Todo {
        id: TODOS + 1,
        title: draft.title,
        done: false,
    }))
}

fn todo(id: u32) -> Todo {
    Todo {
        id,
        title: format!("Water plant {id}"),
        done: id.is_multiple_of(3),
    }
}

fn first() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::testing::block_on;
    use everwarm_sdk::{Body, Request};
    use tower_service::Service;

    use super::app;

    fn get(path: &str) -> (u16, String) {
        let request = Request::get(path)
            .body(Body::empty())
            .expect("a valid request");
        block_on(async {
            let response = app().call(request).await.expect("a router never fails");
            let status = response.status().as_u16();
            let text = Body::new(response.into_body()).text().await;
            (status, text.expect("text"))
        })
    }

    #[test]
    fn a_todo_is_found_by_its_id() {
        let todo = r#"{"id":3,"title":"Water plant 3","done":true}"#;
        assert_eq!(get("/api/todos/3"), (200, todo.to_owned()));
    }

    #[test]
    fn a_todo_that_is_not_there_is_a_problem() {
        let (status, text) = get("/api/todos/101");
        assert_eq!(status, 404);
        assert!(text.contains("there is no todo 101"), "{text}");
    }

    #[test]
    fn the_last_page_ends_with_the_last_todo() {
        let (status, text) = get("/api/todos?from=100&count=50");
        assert_eq!(status, 200);
        assert!(
            text.contains("Water plant 100") && !text.contains("101"),
            "{text}"
        );
    }
}
