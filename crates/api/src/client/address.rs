//! Paths and queries of operations: what a user typed can't leave its place in them.

/// A path template with its parameters filled in, in order.
pub(super) fn filled(template: &str, segments: &[&str]) -> String {
    let mut values = segments.iter();
    let parts = template.split('/').map(|part| {
        if part.starts_with('{') {
            values
                .next()
                .map_or_else(String::new, |value| encoded(value))
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A query of those that have a value, with its question mark.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?))))
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    format!("?{}", pairs.join("&"))
}

/// Percent-encodes all but unreserved characters and the colon of digests (RFC 3986, section 2).
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_types_can_not_leave_its_place_in_the_path() {
        assert_eq!(
            filled("/v1/apps/{app}/versions", &["../tenants?x=1#"]),
            "/v1/apps/..%2Ftenants%3Fx%3D1%23/versions"
        );
        assert_eq!(filled("/v1/apps", &[]), "/v1/apps");
    }

    #[test]
    fn query_has_what_was_given() {
        assert_eq!(query(&[("a", None), ("b", None)]), "");
        assert_eq!(
            query(&[("a", Some("1&2")), ("b", None), ("c", Some("x"))]),
            "?a=1%262&c=x"
        );
    }
}
