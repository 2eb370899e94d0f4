//! Factors a number, which takes a while, and says for how long the answer may be kept: whoever asks for the same number
//! within an hour is answered without this function. For a day more he gets the same while it is computed anew.

use everwarm_sdk::http::{HeaderValue, StatusCode, header};
use everwarm_sdk::{Error, IntoResponse as _, Request, Response, Result};

/// The largest number that is factored: larger ones could take longer than a request may.
const NUMBER_MAX: u64 = 1_000_000_000_000;
const KEPT: &str =
    "public, max-age=60, s-maxage=3600, stale-while-revalidate=86400, stale-if-error=86400";

#[everwarm_sdk::http]
async fn factors(request: Request) -> Result {
    let path = request.uri().path();
    let number = path.rsplit('/').next().unwrap_or_default();
    let number: u64 = number
        .parse()
        .map_err(|_| Error::bad_request("ask for /numbers/ and a number"))?;
    if !(1..=NUMBER_MAX).contains(&number) {
        let detail = format!("a number from 1 to {NUMBER_MAX} is factored");
        return Err(Error::new(StatusCode::BAD_REQUEST).with_detail(detail));
    }
    let factors: Vec<String> = factors_of(number)
        .map(|factor| factor.to_string())
        .collect();
    let is_german = request
        .headers()
        .get(header::ACCEPT_LANGUAGE)
        .is_some_and(|languages| languages.as_bytes().starts_with(b"de"));
    let word = if is_german {
        "Primfaktoren"
    } else {
        "prime factors"
    };
    Ok(kept(
        &format!("{number}: {word} {}\n", factors.join(" ")),
        number,
    ))
}

/// An answer that may be kept, and purged by a name: `everwarm cache purge cached --tag even`.
fn kept(text: &str, number: u64) -> Response {
    let mut response = text.to_owned().into_response();
    let tag = if number.is_multiple_of(2) {
        "even"
    } else {
        "odd"
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(KEPT));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert("cache-tag", HeaderValue::from_static(tag));
    response
}

/// By trial division, slowly.
fn factors_of(mut number: u64) -> impl Iterator<Item = u64> {
    let mut factor = 2;
    std::iter::from_fn(move || {
        while factor * factor <= number {
            if number.is_multiple_of(factor) {
                number /= factor;
                return Some(factor);
            }
            factor += 1;
        }
        (number > 1).then(|| std::mem::replace(&mut number, 1))
    })
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::http::Request;
    use everwarm_sdk::testing::{block_on, call};

    use super::{factors, factors_of};

    #[test]
    fn numbers_are_factored() {
        let all = |number| factors_of(number).collect::<Vec<_>>();
        assert!(all(1).is_empty());
        assert_eq!(all(360), [2, 2, 2, 3, 3, 5]);
        assert_eq!(all(999_999_000_001), [999_999_000_001]);
    }

    #[test]
    fn answer_says_for_how_long_it_may_be_kept() {
        let request = Request::get("/numbers/12").header("accept-language", "de");
        let request = request.body(Body::empty()).expect("a valid request");
        let response = block_on(call(factors, request));
        let control = response.headers()["cache-control"].to_str().expect("text");
        assert!(control.contains("s-maxage=3600"));
        assert_eq!(response.headers()["cache-tag"], "even");
        let text = block_on(response.into_body().text()).expect("text");
        assert_eq!(text, "12: Primfaktoren 2 2 3\n");
    }
}
