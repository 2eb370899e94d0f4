//! A basket that asks another function of its app what each item costs.

use everwarm_sdk::http::StatusCode;
use everwarm_sdk::{Error, LazyRequest, Request, Response, Result, send};

/// The function `prices`, as those call it that are granted it.
const PRICES: &str = "http://prices.everwarm.internal";

#[everwarm_sdk::http]
async fn shop(request: LazyRequest) -> Result<String> {
    let path = request.path_and_query();
    let items = path.trim_matches('/');
    match std::env::var("ROLE").as_deref() {
        Ok("prices") => price(items),
        _ => total(items).await,
    }
}

/// What an item costs, in cents.
fn price(item: &str) -> Result<String> {
    match item {
        "apple" => Ok("35".to_owned()),
        "pear" => Ok("50".to_owned()),
        _ => Err(Error::not_found(format!("nobody sells {item:?}"))),
    }
}

async fn total(items: &str) -> Result<String> {
    let mut total = 0;
    for item in items.split('/').filter(|item| !item.is_empty()) {
        let response = send(Request::get(format!("{PRICES}/{item}")).body(())?).await?;
        total += cents(item, response).await?;
    }
    Ok(format!("{total} cents\n"))
}

async fn cents(item: &str, response: Response) -> Result<u32> {
    match response.status() {
        StatusCode::OK => Ok(response.into_body().text().await?.parse()?),
        StatusCode::NOT_FOUND => Err(Error::not_found(format!("there is no {item:?}"))),
        other => Err(Error::internal(format!("`prices` answered {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::testing::{block_on, call, on_send};
    use everwarm_sdk::{Body, Request, Response};

    use super::{price, shop};

    fn get(path: &str) -> (u16, String) {
        on_send(|request| async move {
            let item = request.uri().path().trim_matches('/').to_owned();
            let mut response = Response::new(String::new());
            match price(&item) {
                Ok(price) => *response.body_mut() = price,
                Err(error) => *response.status_mut() = error.status(),
            }
            response
        });
        let request = Request::get(path).body(Body::empty());
        let response = block_on(call(shop, request.expect("a valid request")));
        let status = response.status().as_u16();
        (status, block_on(response.into_body().text()).expect("text"))
    }

    #[test]
    fn basket_costs_what_its_items_cost() {
        assert_eq!(get("/apple/pear/apple"), (200, "120 cents\n".to_owned()));
        assert_eq!(get("/"), (200, "0 cents\n".to_owned()));
    }

    #[test]
    fn item_that_nobody_sells_is_a_404() {
        assert_eq!(get("/apple/stone").0, 404);
    }
}
