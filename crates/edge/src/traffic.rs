//! Which of two versions of an app a request goes to. Pure: what is drawn is an argument.
//!
//! Owns the choice. Knows nothing of how versions came to share an app's requests.

use http::{HeaderMap, HeaderName};

/// A canary's part of the requests.
#[derive(Debug, Clone)]
pub struct Share {
    percent: u8,
    sticky_header: Option<HeaderName>,
    /// Makes the choice of one app say nothing of another's: else the same users would be everywhere the first.
    salt: u64,
}

impl Share {
    /// `percent` of 100, by the value of `sticky_header` where a request has it. `app` is the app's name.
    pub fn new(percent: u8, sticky_header: Option<HeaderName>, app: &str) -> Self {
        Self {
            percent,
            sticky_header,
            salt: fnv(FNV_OFFSET, app.as_bytes()),
        }
    }

    /// Whether the canary gets a request. With a sticky field, the same value gives the same answer on every node
    /// and at every time, and who is in at one percentage is in at every higher one. Other requests go by `draw`,
    /// which is different for each.
    pub fn takes(&self, headers: &HeaderMap, draw: u64) -> bool {
        let value = self
            .sticky_header
            .as_ref()
            .and_then(|name| headers.get(name));
        let number = value.map_or(draw, |value| fnv(self.salt, value.as_bytes()));
        mixed(number) % 100 < u64::from(self.percent)
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a: short, and the same in every release, which the hashers of the standard library don't promise.
/// <http://www.isthe.com/chongo/tech/comp/fnv>
fn fnv(offset: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(offset, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

/// Spreads a number over all bits: the finalizer of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom
/// Number Generators, 2014).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const USER: HeaderName = HeaderName::from_static("x-user");

    fn of_user(user: &str) -> HeaderMap {
        HeaderMap::from_iter([(USER, HeaderValue::from_str(user).unwrap())])
    }

    #[test]
    fn part_of_the_draws_is_the_percentage() {
        for percent in [1, 10, 50, 99] {
            let share = Share::new(percent, None, "shop");
            let taken = (0..100_000_u64)
                .filter(|draw| share.takes(&HeaderMap::new(), *draw))
                .count();
            let expected = usize::from(percent) * 1_000;
            assert!(taken.abs_diff(expected) < 1_000, "{percent}: {taken}");
        }
    }

    #[test]
    fn part_of_the_users_is_the_percentage_and_differs_between_apps() {
        let (shop, blog) = (
            Share::new(20, Some(USER), "shop"),
            Share::new(20, Some(USER), "blog"),
        );
        let users: Vec<HeaderMap> = (0..10_000)
            .map(|user| of_user(&format!("user-{user}")))
            .collect();
        let in_shop: Vec<&HeaderMap> = users.iter().filter(|user| shop.takes(user, 0)).collect();
        assert!(in_shop.len().abs_diff(2_000) < 200, "{}", in_shop.len());
        let in_both = in_shop.iter().filter(|user| blog.takes(user, 0)).count();
        assert!(in_both.abs_diff(in_shop.len() / 5) < 100, "{in_both}");
    }

    proptest! {
        #[test]
        fn user_stays_where_it_is_and_in_when_the_part_grows(
            user in "[a-z0-9]{0,20}",
            percent in 1_u8..99,
            draws: [u64; 4],
        ) {
            let headers = of_user(&user);
            let (less, more) = (
                Share::new(percent, Some(USER), "shop"),
                Share::new(percent + 1, Some(USER), "shop"),
            );
            let first = less.takes(&headers, draws[0]);
            for draw in draws {
                prop_assert_eq!(less.takes(&headers, draw), first);
            }
            prop_assert!(!first || more.takes(&headers, 0));
        }
    }
}
