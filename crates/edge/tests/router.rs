//! The route table: it must answer what a plain scan of all patterns in order of specificity answers.

use everwarm_edge::router::RouteTable;
use everwarm_manifest::RoutePattern;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn table(routes: &[&str]) -> RouteTable<String> {
    let parse = |text: &&str| {
        (
            RoutePattern::parse(text).expect("a route"),
            (*text).to_owned(),
        )
    };
    RouteTable::build(routes.iter().map(parse)).expect("no conflict")
}

fn found<'t>(table: &'t RouteTable<String>, host: &str, path: &str) -> Option<&'t str> {
    table
        .lookup((!host.is_empty()).then_some(host), path)
        .map(|found| found.value.as_str())
}

#[test]
fn exact_host_beats_wildcard_host_beats_no_host() {
    let table = table(&[
        "/*",
        "*.example.com/*",
        "*.b.example.com/*",
        "a.example.com/*",
    ]);
    for (host, route) in [
        ("a.example.com", "a.example.com/*"),
        ("c.example.com", "*.example.com/*"),
        ("x.b.example.com", "*.b.example.com/*"),
        ("b.example.com", "*.example.com/*"),
        ("example.com", "/*"),
        ("other.org", "/*"),
        ("", "/*"),
    ] {
        assert_eq!(found(&table, host, "/x"), Some(route), "{host}");
    }
}

#[test]
fn a_host_without_that_path_leaves_it_to_the_next_less_specific_host() {
    let table = table(&[
        "a.example.com/only",
        "*.example.com/wide/*",
        "/wide/x",
        "/none",
    ]);
    assert_eq!(
        found(&table, "a.example.com", "/only"),
        Some("a.example.com/only")
    );
    assert_eq!(
        found(&table, "a.example.com", "/wide/x"),
        Some("*.example.com/wide/*")
    );
    assert_eq!(found(&table, "a.example.com", "/none"), Some("/none"));
    assert_eq!(found(&table, "a.example.com", "/nowhere"), None);
}

#[test]
fn literals_beat_parameters_beat_the_rest_and_a_dead_end_turns_back() {
    let table = table(&["/*", "/a/b/c", "/a/{x}/d", "/{y}/b/e", "/a", "/a/*", "/a/"]);
    for (path, route) in [
        ("/a/b/c", "/a/b/c"),
        ("/a/b/d", "/a/{x}/d"),
        ("/a/b/e", "/a/*"),
        ("/z/b/e", "/{y}/b/e"),
        ("/z/b/f", "/*"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a//", "/a/*"),
        ("/", "/*"),
    ] {
        assert_eq!(found(&table, "", path), Some(route), "{path}");
    }
}

#[test]
fn port_case_and_trailing_dot_of_the_host_do_not_matter() {
    let table = table(&["hello.localhost/"]);
    for host in [
        "hello.localhost",
        "hello.localhost:3000",
        "HELLO.Localhost:3000",
        "hello.localhost.",
    ] {
        assert_eq!(found(&table, host, "/"), Some("hello.localhost/"), "{host}");
    }
    for host in [
        "",
        "hello",
        "hello.localhost.example",
        "xhello.localhost",
        "[::1]:80",
    ] {
        assert_eq!(found(&table, host, "/"), None, "{host}");
    }
}

#[test]
fn two_spellings_of_a_path_reach_one_function() {
    let table = table(&["/admin/*", "/*"]);
    for path in ["/admin/x", "/%61dmin/x", "/admin"] {
        assert_eq!(found(&table, "", path), Some("/admin/*"), "{path}");
    }
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/./admin",
        "*",
        "",
    ] {
        assert_eq!(found(&table, "", path), None, "{path}");
    }
}

#[test]
fn a_conflict_names_both_routes() {
    let parse = |text: &str| RoutePattern::parse(text).unwrap();
    let routes = [
        ("/x", "one"),
        ("A.example/u/{id}", "two"),
        ("a.example/u/{name}", "three"),
    ];
    let conflict =
        RouteTable::build(routes.map(|(route, value)| (parse(route), value))).unwrap_err();
    assert_eq!((conflict.first.1, conflict.second.1), ("two", "three"));
    assert_eq!(
        conflict.to_string(),
        "the routes `a.example/u/{id}` and `a.example/u/{name}` match the same requests"
    );
}

#[test]
fn an_empty_table_has_no_route_for_anything() {
    let table = RouteTable::<()>::default();
    assert!(table.is_empty());
    assert!(table.lookup(Some("a"), "/").is_none());
}

#[test]
fn a_thousand_apps_are_each_found_on_their_own_host_and_prefix() {
    let routes =
        (0..1_000).flat_map(|app| [format!("app{app}.localhost/*"), format!("/app{app}/*")]);
    let table =
        RouteTable::build(routes.map(|text| (RoutePattern::parse(&text).unwrap(), text))).unwrap();
    assert_eq!(table.len(), 2_000);
    for app in 0..1_000 {
        assert_eq!(
            found(&table, &format!("app{app}.localhost:3000"), "/x"),
            Some(&*format!("app{app}.localhost/*"))
        );
        assert_eq!(
            found(&table, "other", &format!("/app{app}/x/y")),
            Some(&*format!("/app{app}/*"))
        );
    }
}

/// Few hosts and segments, so that patterns meet requests and each other.
fn route() -> impl Strategy<Value = RoutePattern> {
    let host = prop_oneof![
        Just(""),
        Just("*.b"),
        Just("*.a.b"),
        Just("a.b"),
        Just("x.a.b"),
        Just("b")
    ];
    let segment = prop_oneof![Just("a"), Just("b"), Just("é"), Just("{x}")];
    let end = prop_oneof![Just(""), Just("/"), Just("/*")];
    (host, vec(segment, 0..5), end).prop_filter_map(
        "a parameter may be there once",
        |(host, segments, end)| {
            let mut path = String::new();
            for (n, segment) in segments.iter().enumerate() {
                path.extend(["/", &segment.replace('x', &format!("x{n}"))]);
            }
            RoutePattern::parse(&format!("{host}{path}{end}")).ok()
        },
    )
}

fn request() -> impl Strategy<Value = (Option<String>, String)> {
    let host = prop_oneof![
        Just("a.b"),
        Just("X.A.B:80"),
        Just("y.a.b"),
        Just("z.y.a.b"),
        Just("b."),
        Just(".b"),
        Just("c"),
        Just(""),
    ];
    let segment = prop_oneof![4 => Just("a"), 4 => Just("b"), 1 => Just("%61"), 1 => Just("%C3%a9"), 2 => Just("z"), 1 => Just(""), 1 => Just(".."), 1 => Just("%2e%2E"), 1 => Just("a%2Fb"), 1 => Just("%00"), 1 => Just("..;"), 1 => Just("\\")];
    (option::of(host), vec(segment, 1..6))
        .prop_map(|(host, segments)| (host.map(str::to_owned), format!("/{}", segments.join("/"))))
}

proptest! {
    #[test]
    fn the_table_answers_what_a_scan_answers(routes in vec(route(), 0..25), requests in vec(request(), 20)) {
        let mut kept: Vec<RoutePattern> = Vec::new();
        for route in routes {
            let conflict = kept.iter().any(|other| other.conflicts_with(&route));
            let tried = RouteTable::build(kept.iter().chain([&route]).map(|route| (route.clone(), ())));
            prop_assert_eq!(tried.is_err(), conflict, "{} among {:?}", route, kept);
            if !conflict {
                kept.push(route);
            }
        }
        let table = RouteTable::build(kept.iter().cloned().enumerate().map(|(n, route)| (route, n))).unwrap();
        for (host, path) in requests {
            let scanned = kept
                .iter()
                .filter(|route| route.matches(host.as_deref(), &path))
                .max_by(|a, b| a.compare_specificity(b));
            let found = table.lookup(host.as_deref(), &path);
            prop_assert_eq!(found.as_ref().map(|found| found.pattern), scanned, "{:?} {}", host, path);
            prop_assert_eq!(found.map(|found| &kept[*found.value]), scanned);
        }
    }

    /// Whoever resolves dots, decodes slashes or stops at a NUL finds no route that the path as it came doesn't have.
    #[test]
    fn tricks_reach_no_other_route(front in "[a-z]{1,3}", trick in prop_oneof![
        Just(".."), Just("%2e%2e"), Just(".%2E"), Just("."), Just("%2e"), Just("x%00"), Just("%00"),
    ], rest in "(/[a-z]{0,3}){0,3}") {
        let routes = ["/*", "/{a}/{b}", "/{a}/*", "/{a}/{b}/*"].map(|text| (RoutePattern::parse(text).unwrap(), ()));
        let table = RouteTable::build(routes).unwrap();
        let path = format!("/{front}/{trick}{rest}");
        prop_assert!(table.lookup(None, &path).is_none(), "{path}");
        // What an encoded slash or a semicolon is in stays one segment.
        for one in ["%2f", "%2F", ";/..", "\\"] {
            let one = one.replace('/', "%2f");
            let path = format!("/{front}{one}admin");
            let found = table.lookup(None, &path).unwrap();
            prop_assert_eq!(found.pattern.to_string(), "/{a}/*", "{}", path);
        }
    }

    #[test]
    fn changed_table_finds_what_one_built_anew_finds(
        first in vec(route(), 0..12),
        second in vec(route(), 0..12),
        gone in vec(any::<prop::sample::Index>(), 0..6),
        requests in vec(request(), 1..20),
    ) {
        let mut old = RouteTable::empty();
        let mut kept = Vec::new();
        for (n, route) in first.into_iter().enumerate() {
            if let Ok(table) = old.changed([], [(route.clone(), n)]) {
                old = table;
                kept.push((route, n));
            }
        }
        prop_assert_eq!(old.len(), kept.len());
        let before = kept.clone();
        let mut removed = Vec::new();
        for index in gone {
            if !kept.is_empty() {
                removed.push(kept.remove(index.index(kept.len())).0);
            }
        }
        let mut new = Vec::new();
        for (n, route) in second.into_iter().enumerate() {
            let with = kept.iter().chain(&new).cloned().chain([(route.clone(), 100 + n)]);
            if RouteTable::build(with).is_ok() {
                new.push((route, 100 + n));
            }
        }
        let changed = old.changed(removed, new.clone()).unwrap();
        let anew = RouteTable::build(kept.into_iter().chain(new)).unwrap();
        prop_assert_eq!(changed.len(), anew.len());
        for (host, path) in requests {
            let value = |table: &RouteTable<usize>| table.lookup(host.as_deref(), &path).map(|found| *found.value);
            prop_assert_eq!(value(&changed), value(&anew), "{:?} {}", host, path);
            // The old one is as it was.
            let old_anew = RouteTable::build(before.clone()).unwrap();
            prop_assert_eq!(value(&old), value(&old_anew));
        }
    }

    #[test]
    fn any_request_is_looked_up(routes in vec(route(), 0..10), host in option::of("\\PC{0,40}"), path in "/?\\PC{0,60}") {
        let mut table = RouteTable::empty();
        for route in routes {
            table = RouteTable::build(table.routes().cloned().chain([(route, ())])).unwrap_or(table);
        }
        let found = table.lookup(host.as_deref(), &path);
        prop_assert_eq!(found.is_some(), table.routes().any(|(route, ())| route.matches(host.as_deref(), &path)));
    }
}
