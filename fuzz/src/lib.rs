//! What must hold for any bytes from outside, one function a fuzz target. Each panics when it doesn't.
//! Owns no fuzzer: the binaries in `targets/` feed these functions from libFuzzer, and `tests/corpus.rs`
//! from the committed seeds.

#![forbid(unsafe_code)]

use everwarm_edge::router::RouteTable;
use everwarm_engine::inspect::{InspectLimits, inspect};
use everwarm_manifest::{App, RoutePattern};

/// The most routes of one input: the scan that the table is compared with takes time in their number.
const ROUTES_MAX: usize = 64;

/// Any bytes are a manifest or refused with reasons; a manifest survives its own TOML and JSON form.
pub fn manifest(bytes: &[u8]) {
    match App::parse_bytes(bytes, "everwarm.toml") {
        Ok(app) => {
            let text = app.to_toml().expect("a parsed app has a TOML form");
            let again = App::parse(&text, "everwarm.toml");
            assert_eq!(again.as_ref(), Ok(&app), "{text}");
            let json = serde_json::to_string(&app).expect("a parsed app has a JSON form");
            let again: App = serde_json::from_str(&json).expect("its JSON form reads back");
            assert_eq!(again, app, "{json}");
        }
        Err(errors) => {
            assert!(errors.count() > 0, "a refusal has a reason");
            let shown = errors.to_string();
            let steers = |c: char| c.is_control() && c != '\n';
            assert!(
                !shown.contains(steers),
                "nothing steers a terminal: {shown:?}"
            );
        }
    }
}

/// A line `? host path` or `? path` is a request, any other line a route. The table answers each request as
/// a scan of all routes does, and refuses exactly the routes that conflict.
pub fn router(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (requests, routes): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("? "));
    let mut kept: Vec<RoutePattern> = Vec::new();
    for route in routes
        .into_iter()
        .filter_map(|text| RoutePattern::parse(text).ok())
        .take(ROUTES_MAX)
    {
        let shown = route.to_string();
        assert_eq!(RoutePattern::parse(&shown).as_ref(), Ok(&route), "{shown}");
        let conflict = kept.iter().any(|other| other.conflicts_with(&route));
        let with_it = kept.iter().chain([&route]).map(|route| (route.clone(), ()));
        assert_eq!(RouteTable::build(with_it).is_err(), conflict, "{shown}");
        if !conflict {
            kept.push(route);
        }
    }
    let routes = kept.iter().map(|route| (route.clone(), ()));
    let table = RouteTable::build(routes).expect("what conflicts was left out");
    for request in requests {
        let request = request.trim_start_matches("? ");
        let (host, path) = match request.split_once(' ') {
            Some((host, path)) => (Some(host), path),
            None => (None, request),
        };
        let scanned = kept
            .iter()
            .filter(|route| route.matches(host, path))
            .max_by(|a, b| a.compare_specificity(b));
        let found = table.lookup(host, path).map(|found| found.pattern);
        assert_eq!(found, scanned, "{host:?} {path:?}");
    }
}

/// Any bytes are inspected to an end: facts or a refusal, the same each time.
pub fn component(bytes: &[u8]) {
    let limits = InspectLimits::default();
    let first = inspect(bytes, limits).map_err(|error| error.to_string());
    let second = inspect(bytes, limits).map_err(|error| error.to_string());
    assert_eq!(first, second, "the answer depends on the bytes alone");
    match first {
        Ok(facts) => assert_eq!(facts.bytes, bytes.len() as u64),
        Err(reason) => assert!(!reason.is_empty(), "a refusal has a reason"),
    }
}
