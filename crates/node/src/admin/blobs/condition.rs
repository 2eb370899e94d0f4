//! What has to hold for a change of a blob (RFC 9110, sections 13.1.1 and 13.1.2). What can't be checked is refused: a
//! condition that is ignored is worse than none.

use axum::http::{HeaderMap, header};
use everwarm_store::blobs::{Condition, Etag};

use super::super::failure::Failed;
use super::super::sent::text;

/// The condition of a write.
pub(super) fn of_write(headers: &HeaderMap) -> Result<Condition, Failed> {
    let absent = match text(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some("*") => true,
        Some(_) => {
            let text = "`if-none-match` of a write is `*`: there must be no blob of the name";
            return Err(Failed::bad_request(text));
        }
    };
    let matches = matches(headers)?;
    match (absent, matches) {
        (false, None) => Ok(Condition::Any),
        (true, None) => Ok(Condition::Absent),
        (false, Some(etag)) => Ok(Condition::Matches(etag)),
        (true, Some(_)) => {
            let text = "`if-match` and `if-none-match` can't both hold: send one of them";
            Err(Failed::bad_request(text))
        }
    }
}

/// The condition of a removal.
pub(super) fn of_removal(headers: &HeaderMap) -> Result<Condition, Failed> {
    if headers.contains_key(header::IF_NONE_MATCH) {
        let text = "a removal has no `if-none-match`: what isn't there can't be removed";
        return Err(Failed::bad_request(text));
    }
    let etag = matches(headers)?;
    Ok(etag.map_or(Condition::Any, Condition::Matches))
}

/// The one strong etag of `if-match`.
fn matches(headers: &HeaderMap) -> Result<Option<Etag>, Failed> {
    let Some(text) = text(headers, &header::IF_MATCH)? else {
        return Ok(None);
    };
    let etag = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let etag = etag.filter(|etag| !etag.contains('"'));
    let etag = etag.ok_or_else(|| Failed::bad_request("`if-match` is one etag in quotes"))?;
    Ok(Some(Etag::new(etag)))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn condition_is_what_the_fields_say() {
        let etag = |text| Condition::Matches(Etag::new(text));
        for (fields, expected) in [
            (vec![], Condition::Any),
            (vec![(header::IF_NONE_MATCH, "*")], Condition::Absent),
            (vec![(header::IF_MATCH, "\"a,b\"")], etag("a,b")),
            (vec![(header::IF_MATCH, "\"\"")], etag("")),
        ] {
            assert_eq!(of_write(&headers(&fields)).unwrap(), expected);
        }
        let matches = headers(&[(header::IF_MATCH, "\"a\"")]);
        assert_eq!(of_removal(&matches).unwrap(), etag("a"));
        assert_eq!(of_removal(&HeaderMap::new()).unwrap(), Condition::Any);
    }

    #[test]
    fn condition_that_can_not_be_checked_is_refused() {
        for fields in [
            vec![(header::IF_MATCH, "*")],
            vec![(header::IF_MATCH, "a")],
            vec![(header::IF_MATCH, "W/\"a\"")],
            vec![(header::IF_MATCH, "\"a\", \"b\"")],
            vec![(header::IF_MATCH, "\"")],
            vec![(header::IF_MATCH, "\"a\""), (header::IF_MATCH, "\"b\"")],
            vec![(header::IF_NONE_MATCH, "\"a\"")],
            vec![(header::IF_NONE_MATCH, "*"), (header::IF_MATCH, "\"a\"")],
        ] {
            assert!(of_write(&headers(&fields)).is_err(), "{fields:?}");
        }
        let absent = headers(&[(header::IF_NONE_MATCH, "*")]);
        assert!(of_removal(&absent).is_err());
    }
}
