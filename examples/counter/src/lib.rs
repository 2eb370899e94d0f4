//! Counts visits in a key-value store. Each request runs in a sandbox of its own: what is to be there for the next one
//! is kept in the store, which the manifest has to grant.

use std::collections::BTreeMap;

use everwarm_sdk::http::Method;
use everwarm_sdk::kv::{KvError, Store};
use everwarm_sdk::{Error, IntoResponse as _, Json, LazyRequest, Response, Result};
use serde::Serialize;

/// What the keys of counts begin with: the store may have other entries.
const PREFIX: &str = "visits/";
/// Pages of the list, which has as many as a batch may read.
const LISTED_MAX: u32 = 100;

#[derive(Debug, Serialize)]
struct Visits {
    page: String,
    visits: i64,
}

#[everwarm_sdk::http]
async fn visits(request: LazyRequest) -> Result<Response> {
    if request.method() != Method::GET {
        return Err(Error::new(
            everwarm_sdk::http::StatusCode::METHOD_NOT_ALLOWED,
        ));
    }
    let path = request.path_and_query();
    let path = path.split('?').next().unwrap_or_default();
    let store = Store::open("default")?;
    Ok(match path.strip_prefix("/visits/") {
        Some(page) => Json(count(&store, page).await?).into_response(),
        None => Json(list(&store).await?).into_response(),
    })
}

/// Counts one more. However many requests do so at a time, none is lost.
async fn count(store: &Store, page: &str) -> Result<Visits, KvError> {
    Ok(Visits {
        page: page.to_owned(),
        visits: store.increment(&format!("{PREFIX}{page}"), 1).await?,
    })
}

async fn list(store: &Store) -> Result<BTreeMap<String, i64>, KvError> {
    let keys = store.keys_with_prefix(PREFIX, None, LISTED_MAX).await?.keys;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let counts = store.get_many(&keys).await?;
    let visits = keys.iter().zip(counts).filter_map(|(key, count)| {
        let count = String::from_utf8(count?).ok()?.parse().ok()?;
        Some((key.strip_prefix(PREFIX)?.to_owned(), count))
    });
    Ok(visits.collect())
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::http::Request;
    use everwarm_sdk::testing::{block_on, call};

    use super::visits;

    fn get(path: &str) -> String {
        let request = Request::get(path).body(Body::empty());
        let response = block_on(call(visits, request.expect("a valid request")));
        assert_eq!(response.status(), 200);
        block_on(response.into_body().text()).expect("text")
    }

    #[test]
    fn each_visit_is_one_more() {
        assert_eq!(get("/visits"), "{}");
        assert_eq!(get("/visits/home"), r#"{"page":"home","visits":1}"#);
        assert_eq!(get("/visits/home?x=1"), r#"{"page":"home","visits":2}"#);
        assert_eq!(get("/visits/about"), r#"{"page":"about","visits":1}"#);
        assert_eq!(get("/visits"), r#"{"about":1,"home":2}"#);
    }
}
