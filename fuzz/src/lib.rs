//! What must hold for any bytes from outside, one function a fuzz target. Each panics when it doesn't.
//! Owns no fuzzer: the binaries in `targets/` feed these functions from libFuzzer, and `tests/corpus.rs`
//! from the committed seeds.

#![forbid(unsafe_code)]

use std::sync::Arc;

use everwarm_api::operations::{ALL, Body};
use everwarm_api::token::Token;
use everwarm_edge::dispatch::Policy;
use everwarm_edge::forwarded::TrustedProxies;
use everwarm_edge::head::{Peer, host, receive};
use everwarm_edge::ingress::scan::Scan;
use everwarm_edge::router::RouteTable;
use everwarm_engine::inspect::{InspectLimits, inspect};
use everwarm_engine::request::{Request, RequestBody};
use everwarm_manifest::{App, AppName, RoutePattern};
use everwarm_node::admin::understand;
use everwarm_store::embedded::backup::check;

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

/// The bytes of a connection, of which the first head goes as far as the router. In whatever pieces they come, the
/// scan says the same; a head that it lets through ends where the parser has it end; and what isn't refused reaches
/// the route of the host and path that the function sees, without a word of its client on who it is.
pub fn head(bytes: &[u8]) {
    let whole = scanned([bytes]);
    let (front, back) = bytes.split_at(bytes.len() / 3);
    let pieces = scanned([front, back]);
    assert_eq!(
        (whole.wrong(), whole.heads(), whole.is_off()),
        (pieces.wrong(), pieces.heads(), pieces.is_off())
    );
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else {
        return;
    };
    let scan = scanned([&bytes[..length]]);
    let is_http2 = scan.is_off() && scan.wrong().is_none();
    if scan.wrong().is_some() || is_http2 {
        return;
    }
    assert_eq!(scan.heads(), 1, "both see one head");
    let before = scanned([&bytes[..length - 1]]);
    assert_eq!(before.heads(), 0, "and its end in the same place");
    if let Some(request) = request(&parsed) {
        received(request);
    }
}

fn scanned<const N: usize>(pieces: [&[u8]; N]) -> Scan {
    let mut scan = Scan::default();
    for piece in pieces {
        scan.take(piece);
    }
    scan
}

/// As hyper makes it of what its parser says. `None` where that fails.
fn request(parsed: &httparse::Request<'_, '_>) -> Option<Request> {
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = parsed.method?.parse().ok()?;
    *request.uri_mut() = parsed.path?.parse().ok()?;
    if parsed.version == Some(0) {
        *request.version_mut() = http::Version::HTTP_10;
    }
    for field in parsed.headers.iter() {
        let name: http::HeaderName = field.name.parse().ok()?;
        let value = http::HeaderValue::from_bytes(field.value).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

fn received(mut request: Request) {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
    let stranger = [203, 0, 113, 7].into();
    let peer = Arc::new(Peer::new(stranger, false, &proxies));
    let path = request.uri().path().to_owned();
    let policy = Policy {
        requests_max: 1,
        server_timing: false,
        trusted_proxies: proxies,
        recorded: None,
    };
    let arrival = receive(&mut request, (Some(&peer), None), &policy, 1);
    assert_eq!(arrival.client, Some(stranger));
    (arrival.more)(request.headers_mut());
    let headers = request.headers();
    assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
    assert_eq!(headers["x-request-id"], "0000000000000001");
    assert_eq!(headers.get_all("traceparent").iter().count(), 1);
    assert!(headers["traceparent"].as_bytes().starts_with(b"00-"));
    assert!(
        headers
            .keys()
            .all(|name| !name.as_str().starts_with("everwarm-"))
    );
    if arrival.refused.is_some() {
        return;
    }
    assert_eq!(
        request.uri().path(),
        path,
        "the function sees the path as it was sent"
    );
    let routes = ["/*", "/a/{b}", "shop.example.com/*", "*.example.com/a"];
    let routes = routes.map(|text| (RoutePattern::parse(text).expect("a route"), ()));
    let table = RouteTable::build(routes.clone()).expect("no conflict");
    let found = table
        .lookup(host(&request), &path)
        .map(|found| found.pattern);
    let all = routes.iter().map(|(route, ())| route);
    let scanned = all
        .filter(|route| route.matches(host(&request), &path))
        .max_by(|a, b| a.compare_specificity(b));
    assert_eq!(found, scanned);
    let tricks = path.split('/').any(|segment| matches!(segment, "." | ".."));
    assert!(
        found.is_none() || !(tricks || path.contains('\0')),
        "{path:?}"
    );
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

/// The first byte chooses an operation, the rest is its body. It is understood or refused with a reason that can be
/// shown to people.
pub fn admin_bodies(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    let with_json = || {
        ALL.iter()
            .filter(|operation| matches!(operation.request, Body::Json(_)))
    };
    let chosen = usize::from(*first) % with_json().count();
    let operation = with_json().nth(chosen).expect("it was counted");
    let app = AppName::new("shop").expect("this is a name");
    let Err(problem) = understand(operation, &app, body) else {
        return;
    };
    let told = (problem.status, &*problem.code);
    assert!(
        [(400, "EW5009"), (400, "EW5023"), (413, "EW5021")].contains(&told),
        "{problem:?}"
    );
    assert!(!problem.detail.is_empty(), "a refusal has a reason");
    assert!(problem.detail.len() < 20_000, "a refusal is short");
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(
        !problem.detail.contains(steers),
        "nothing steers a terminal: {problem:?}"
    );
}

/// No bytes are the record of machine code but those that the node wrote.
pub fn artifact_records(bytes: &[u8]) {
    everwarm_engine::artifact::fuzz_record(bytes);
}

/// Any bytes are a backup or refused with a reason, and nothing is written but a catalog in the folder for it. They are
/// looked at as they are, and with the checksums of a tar archive, which no fuzzer guesses.
pub fn backup_archives(bytes: &[u8]) {
    let mut summed = bytes.to_vec();
    for block in summed.chunks_exact_mut(TAR_BLOCK_BYTES) {
        let is_header = block[TAR_MAGIC_AT..].starts_with(b"ustar");
        if is_header {
            block[TAR_SUM_AT..TAR_SUM_AT + 8].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            let digits = format!("{sum:06o}\0 ");
            block[TAR_SUM_AT..TAR_SUM_AT + 8].copy_from_slice(digits.as_bytes());
        }
    }
    for archive in [bytes, &summed] {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).expect("a folder can be made in it");
        if let Err(error) = check(archive, &scratch) {
            assert!(!error.to_string().is_empty(), "a refusal has a reason");
        }
        let names = |folder| std::fs::read_dir(folder).expect("the folder is there");
        assert_eq!(
            names(folder.path()).count(),
            1,
            "nothing is written outside"
        );
        for entry in names(&scratch) {
            let name = entry.expect("the folder can be read").file_name();
            let name = name.to_string_lossy();
            assert!(name.starts_with("catalog.restored"), "{name} is no catalog");
        }
    }
}

/// Bytes of a block of a tar archive, and where a header has its sum and its magic.
const TAR_BLOCK_BYTES: usize = 512;
const TAR_SUM_AT: usize = 148;
const TAR_MAGIC_AT: usize = 257;

/// Any text is a token or none; a token is the same when it is read again, and shows its secret nowhere.
pub fn tokens(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(token) = Token::parse(&text) else {
        return;
    };
    let again = Token::parse(token.expose()).expect("a token reads back");
    assert_eq!(again.id(), token.id());
    assert!(again.matches(&token.secret_hash()));
    let secret = &token.expose()[token.expose().len() - 64..];
    assert!(!format!("{token:?}").contains(secret));
}
