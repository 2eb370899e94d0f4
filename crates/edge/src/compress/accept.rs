//! Which coding a client takes, by its `Accept-Encoding` (RFC 9110, section 12.5.3). Pure.

use http::{HeaderMap, header};

use super::coding::Coding;

/// Elements that are looked at.
const ELEMENTS_MAX: usize = 32;

/// The coding that the client likes best; of those that it likes alike, the one that is quickest for what it saves.
/// `None` when it takes none, or likes none better than nothing.
pub(super) fn best(headers: &HeaderMap) -> Option<Coding> {
    best_of(headers, &Coding::ALL)
}

/// As [`best`] of some codings, the one first that is preferred.
pub(crate) fn best_of(headers: &HeaderMap, among: &[Coding]) -> Option<Coding> {
    let mut weights = [None; Coding::ALL.len()];
    let (mut others, mut identity) = (None, None);
    let mut values = headers.get_all(header::ACCEPT_ENCODING).iter().peekable();
    values.peek()?;
    let elements = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for element in elements.take(ELEMENTS_MAX) {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let name = name.trim();
        let Some(weight) = weight(parameters) else {
            continue;
        };
        let known = Coding::ALL.iter().position(|coding| coding.is_called(name));
        match known {
            Some(place) => weights[place] = Some(weight),
            None if name == "*" => others = Some(weight),
            None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
            None => {}
        }
    }
    let weighed = among.iter().map(|coding| {
        let place = Coding::ALL.iter().position(|one| one == coding);
        let weight = place.and_then(|place| weights[place]);
        (*coding, weight.or(others).unwrap_or(0))
    });
    // The first of those that weigh the same.
    let (coding, weight) = weighed.rev().max_by_key(|(_, weight)| *weight)?;
    (weight > 0 && weight >= identity.unwrap_or(0)).then_some(coding)
}

/// Thousandths; 1 where nothing is said. `None` when what is said is no weight.
fn weight(parameters: &str) -> Option<u16> {
    let mut parameters = parameters.split(';').map(str::trim);
    let Some(value) = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then_some(value.trim())
    }) else {
        return Some(1_000);
    };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(values: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(header::ACCEPT_ENCODING, value);
        }
        best(&headers).map(Coding::as_str)
    }

    #[test]
    fn weights_decide_and_then_our_order() {
        for (value, expected) in [
            ("", None),
            ("gzip", Some("gzip")),
            ("X-GZIP", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, deflate, br", Some("br")),
            ("gzip;q=1, br;q=0.9", Some("gzip")),
            ("gzip; q=0.5 , br;Q=0.51", Some("br")),
            ("gzip;q=0", None),
            ("gzip;q=0.000, *", Some("zstd")),
            ("*;q=0", None),
            ("zstd;q=0, *;q=0.1", Some("br")),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
            ("deflate, compress", None),
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=x, br", Some("br")),
            (";;;,,,=", None),
        ] {
            assert_eq!(chosen(&[value]), expected, "{value}");
        }
        assert_eq!(chosen(&["gzip;q=0.1", "br"]), Some("br"));
        assert_eq!(chosen(&[]), None);
    }
}
