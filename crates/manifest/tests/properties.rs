//! What holds for every manifest and every route, not only for those that somebody thought of.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use everwarm_manifest::cache::FieldName;
use everwarm_manifest::limits::{
    BACKGROUND_TIME, Bounds, CONCURRENCY, CPU_TIME, MEMORY, REQUEST_BODY, SUBREQUESTS, WALL_TIME,
};
use everwarm_manifest::triggers::{self, CallPath, Cron, Missed, Overlap, Queue, Schedule};
use everwarm_manifest::{
    App, AppName, AssetPath, BucketName, Build, ByteSize, Cache, ConfigName, DatabaseName,
    Function, FunctionName, Grants, HttpGrant, Isolation, Limits, Millis, Mount, MountAt,
    QueueName, RoutePattern, ScheduleName, SqlDatabase, World,
};
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,20}[a-z0-9])?"
}

/// Patterns over a small alphabet, so that many of them meet.
fn route() -> impl Strategy<Value = RoutePattern> {
    let host = prop_oneof![
        Just(""),
        Just("*.b"),
        Just("*.a.b"),
        Just("a.b"),
        Just("x.a.b"),
        Just("B.")
    ];
    let segment = prop_oneof![
        Just("a"),
        Just("b"),
        Just("%61"),
        Just("é"),
        Just("{x}"),
        Just("{y}")
    ];
    let end = prop_oneof![Just(""), Just("/"), Just("/*")];
    (host, vec(segment, 0..4), end).prop_filter_map("valid", |(host, segments, end)| {
        let path = ["", &segments.join("/")].join(if segments.is_empty() { "" } else { "/" });
        RoutePattern::parse(&format!("{host}{path}{end}")).ok()
    })
}

fn request() -> impl Strategy<Value = (Option<String>, String)> {
    let host = prop_oneof![
        Just("a.b"),
        Just("X.A.B:80"),
        Just("y.a.b"),
        Just("b."),
        Just("c"),
        Just("")
    ];
    let segment = prop_oneof![
        Just("a"),
        Just("b"),
        Just("%61"),
        Just("%C3%a9"),
        Just("z"),
        Just(""),
        Just("..")
    ];
    (option::of(host), vec(segment, 1..5))
        .prop_map(|(host, segments)| (host.map(str::to_owned), format!("/{}", segments.join("/"))))
}

fn limits() -> impl Strategy<Value = Limits> {
    let size = |min: ByteSize, max: ByteSize| (min.as_u64()..=max.as_u64()).prop_map(ByteSize::new);
    let time = |min: Millis, max: Millis| (min.as_u64()..=max.as_u64()).prop_map(Millis::new);
    (
        size(MEMORY.min, MEMORY.max),
        time(CPU_TIME.min, CPU_TIME.max),
        time(WALL_TIME.min, WALL_TIME.max),
        CONCURRENCY.min.get()..=CONCURRENCY.max.get(),
        size(REQUEST_BODY.min, REQUEST_BODY.max),
        any::<u64>().prop_map(ByteSize::new),
        time(BACKGROUND_TIME.min, BACKGROUND_TIME.max),
        SUBREQUESTS.min..=SUBREQUESTS.max,
        any::<u64>().prop_map(ByteSize::new),
    )
        .prop_map(
            |(
                memory,
                cpu_time,
                wall_time,
                concurrency,
                request_body,
                response_body,
                background_time,
                subrequests,
                subrequest_body,
            )| Limits {
                memory,
                cpu_time,
                wall_time,
                concurrency: NonZeroU32::new(concurrency).expect("the minimum isn't zero"),
                request_body,
                response_body,
                background_time,
                subrequests,
                subrequest_body,
            },
        )
}

fn grants() -> impl Strategy<Value = Grants> {
    let host = prop_oneof![
        Just("*".to_owned()),
        "(\\*\\.)?[a-zA-Z0-9_-]{1,9}\\.[a-z]{1,4}\\.?",
        any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
        any::<[u16; 8]>().prop_map(|groups| format!("[{}]", std::net::Ipv6Addr::from(groups))),
    ];
    let grant = ("https?", host, 1_u16..).prop_filter_map("valid", |(scheme, host, port)| {
        HttpGrant::parse(&format!("{scheme}://{host}:{port}")).ok()
    });
    let network = prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(bytes, prefix)| (bytes.into(), prefix)),
        (any::<[u16; 8]>(), 0_u8..=128).prop_map(|(groups, prefix)| (groups.into(), prefix)),
    ]
    .prop_map(|(address, prefix): (IpAddr, u8)| {
        IpNet::new(address, prefix)
            .expect("the prefix fits the address")
            .trunc()
    });
    let bucket = "[!-~]{1,64}".prop_map(|name| BucketName::new(&name).expect("a name"));
    // Values of `config` begin with another letter: a name is only one of the two.
    let secret = "[S-Z_][A-Za-z0-9_]{0,9}".prop_map(|name| ConfigName::new(&name).expect("a name"));
    let sets = (
        btree_set(grant, 0..4),
        btree_set(network, 0..4),
        btree_set(bucket, 0..4),
        btree_set(secret, 0..4),
    );
    sets.prop_map(|(http, addresses, kv, secrets)| Grants {
        http: http.into_iter().collect(),
        addresses: addresses.into_iter().collect(),
        // Which functions, databases and queues there are is decided elsewhere.
        functions: Vec::new(),
        sql: Vec::new(),
        blobs: Vec::new(),
        queues: Vec::new(),
        redis: Vec::new(),
        cache: kv.len() % 2 == 1,
        kv: kv.into_iter().collect(),
        secrets: secrets.into_iter().collect(),
    })
}

fn text() -> impl Strategy<Value = String> {
    "[^\\x00]{0,20}"
}

fn path() -> impl Strategy<Value = PathBuf> {
    "[a-z./ é\"'\\\\]{0,10}[a-z]".prop_map(PathBuf::from)
}

fn function(name: String, index: usize) -> impl Strategy<Value = Function> {
    let runs = prop_oneof![
        (
            Just(Isolation::Request),
            option::of(prop_oneof![Just(World::Wasi02), Just(World::Wasi03)])
        ),
        (
            Just(Isolation::Serial),
            option::of(prop_oneof![Just(World::Wasi02), Just(World::Wasi03)])
        ),
        (Just(Isolation::Concurrent), option::of(Just(World::Wasi03))),
    ];
    let routes = vec(route(), 1..6);
    let env = btree_map("[^=\\p{Cc}]{1,10}", text(), 0..4);
    let name_of_value =
        "[A-R][A-Za-z0-9_]{0,9}".prop_map(|name| ConfigName::new(&name).expect("a name"));
    let config = btree_map(name_of_value, text(), 0..4);
    (
        option::of(path()),
        runs,
        routes,
        env,
        config,
        grants(),
        limits(),
    )
        .prop_map(
            move |(component, (isolation, world), routes, env, config, grants, limits)| {
                let mut own: Vec<RoutePattern> = Vec::new();
                for route in routes {
                    // The first segment keeps functions apart; within one the first of a conflict stays.
                    let text = route.to_string();
                    let slash = text.find('/').expect("a route has a slash");
                    let route = RoutePattern::parse(&format!(
                        "{}/f{index}{}",
                        &text[..slash],
                        &text[slash..]
                    ))
                    .expect("a valid route");
                    if !own.iter().any(|other| other.conflicts_with(&route)) {
                        own.push(route);
                    }
                }
                Function {
                    name: FunctionName::new(&name).expect("a valid name"),
                    component,
                    world,
                    routes: own,
                    isolation,
                    compress: everwarm_manifest::Compress::ALL[index % 3],
                    server_timing: index.is_multiple_of(2),
                    cache: (!index.is_multiple_of(3)).then(|| Cache {
                        default_ttl: Millis::from_secs(index as u64),
                        vary: vec![FieldName::new("accept").expect("a name")],
                        set_cookie: index % 3 == 2,
                        ..Cache::default()
                    }),
                    env: env.clone(),
                    config,
                    grants,
                    limits,
                    mounts: mounts(index),
                }
            },
        )
}

/// So many folders, each where it is by itself.
fn mounts(count: usize) -> Vec<Mount> {
    let mounts = (0..count).map(|number| {
        let path = AssetPath::new(&format!("data/{number}")).expect("a path");
        Mount {
            at: MountAt::of(&path),
            path,
        }
    });
    mounts.collect()
}

fn app() -> impl Strategy<Value = App> {
    let build = (
        option::of("[a-z\"'\n$é]{0,10}x"),
        option::of("[a-z_][a-z0-9_-]{0,9}"),
        vec(path(), 0..3),
    )
        .prop_map(|(command, package, watch)| Build {
            command,
            package,
            watch,
        });
    let functions = btree_set(name(), 1..4).prop_flat_map(|names| {
        names
            .into_iter()
            .enumerate()
            .map(|(index, name)| function(name, index))
            .collect::<Vec<_>>()
    });
    let folder = option::of("[a-z ]{0,5}[a-z](/[a-z]{1,3})?".prop_map(PathBuf::from));
    let sql = btree_map(name(), folder, 0..3).prop_map(|databases| {
        let databases = databases.into_iter().map(|(name, migrations)| SqlDatabase {
            name: DatabaseName::new(&name).expect("a valid name"),
            migrations,
            url: None,
            password: None,
        });
        databases.collect::<Vec<_>>()
    });
    let triggers = (
        btree_map(name(), queue(), 0..3),
        btree_map(name(), schedule(), 0..3),
    );
    (name(), build, sql, functions, triggers).prop_map(
        |(name, build, sql, functions, (queues, schedules))| {
            // What is called has to be there.
            let called = &functions[0].name;
            let queues = queues.into_iter().map(|(name, mut queue)| {
                queue.name = QueueName::new(&name).expect("a valid name");
                queue.function = called.clone();
                queue
            });
            let schedules = schedules.into_iter().map(|(name, mut schedule)| {
                schedule.name = ScheduleName::new(&name).expect("a valid name");
                schedule.function = called.clone();
                schedule
            });
            App {
                name: AppName::new(&name).expect("a valid name"),
                build,
                sql,
                redis: Vec::new(),
                queues: queues.collect(),
                blobs: Vec::new(),
                schedules: schedules.collect(),
                functions,
                assets: Vec::new(),
            }
        },
    )
}

fn within(bounds: Bounds<Millis>) -> impl Strategy<Value = Millis> {
    (bounds.min.as_u64()..=bounds.max.as_u64()).prop_map(Millis::new)
}

fn counted(bounds: Bounds<NonZeroU32>) -> impl Strategy<Value = NonZeroU32> {
    let range = bounds.min.get()..=bounds.max.get();
    range.prop_map(|number| NonZeroU32::new(number).expect("the bounds begin at 1"))
}

fn call_path() -> impl Strategy<Value = CallPath> {
    "/[a-zA-Z0-9._~!$&'()*+,;=:@/-]{0,20}".prop_map(|path| CallPath::new(&path).expect("a path"))
}

fn retry() -> impl Strategy<Value = (NonZeroU32, Millis, Millis)> {
    let waits = (within(triggers::BACKOFF), within(triggers::BACKOFF_MAX));
    (counted(triggers::ATTEMPTS), waits)
        .prop_map(|(attempts, (a, b))| (attempts, a.min(b), a.max(b)))
}

fn queue() -> impl Strategy<Value = Queue> {
    let counts = (counted(triggers::BATCH), counted(triggers::CALLS));
    let times = (within(triggers::BATCH_WAIT), within(triggers::VISIBILITY));
    (call_path(), counts, times, retry()).prop_map(
        |(
            path,
            (batch, concurrency),
            (batch_wait, visibility),
            (attempts, backoff, backoff_max),
        )| Queue {
            name: QueueName::new("q").expect("a valid name"),
            function: FunctionName::new("f").expect("a valid name"),
            path,
            batch,
            batch_wait,
            concurrency,
            visibility,
            attempts,
            backoff,
            backoff_max,
        },
    )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let lines = prop::sample::select(vec![
        "* * * * *",
        "0 3 * * *",
        "*/5 0-6 1 JAN MON-FRI",
        "@daily",
        "30 0 12 * * *",
    ]);
    let zones = prop::sample::select(vec!["UTC", "Europe/Vienna", "America/St_Johns"]);
    let words = (
        prop::sample::select(&Overlap::ALL),
        prop::sample::select(&Missed::ALL),
    );
    let times = (within(triggers::JITTER), within(triggers::VISIBILITY));
    ((call_path(), lines, zones), words, times, retry()).prop_map(
        |(
            (path, line, zone),
            (overlap, missed),
            (jitter, visibility),
            (attempts, backoff, backoff_max),
        )| Schedule {
            name: ScheduleName::new("s").expect("a valid name"),
            function: FunctionName::new("f").expect("a valid name"),
            path,
            cron: Cron::parse(line).expect("a cron line"),
            zone: zone.parse().expect("a time zone"),
            jitter,
            overlap,
            missed,
            visibility,
            attempts,
            backoff,
            backoff_max,
        },
    )
}

proptest! {
    #[test]
    fn a_rendered_app_parses_back_to_itself(app in app()) {
        let text = app.to_toml().unwrap();
        match App::parse(&text, "everwarm.toml") {
            Ok(parsed) => prop_assert_eq!(parsed, app),
            Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
        }
    }

    #[test]
    fn a_stored_app_reads_back_as_itself(app in app()) {
        let json = serde_json::to_string(&app).unwrap();
        prop_assert_eq!(serde_json::from_str::<App>(&json).unwrap(), app);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        if let Err(errors) = App::parse_bytes(&bytes, "x") {
            prop_assert!(errors.count() > 0 && !errors.to_string().is_empty());
        }
    }

    #[test]
    fn any_toml_like_text_is_parsed_or_refused(
        lines in vec("(name|\\[build\\]|\\[\\[function\\]\\]|routes|env|limits|memory|[a-z.]{1,5})( = (\"[^\"\\\\]{0,8}\"|[0-9]{1,3}|\\[[\"/,a*{}]{0,9}\\]|\\{\\}))?", 0..12)
    ) {
        let text = lines.join("\n");
        if let Err(errors) = App::parse(&text, "x") {
            prop_assert!(errors.count() > 0);
            for diagnostic in &errors {
                let lines = text.lines().count().max(1);
                prop_assert!((1..=lines + 1).contains(&diagnostic.place.line), "{}", diagnostic);
            }
        }
    }

    #[test]
    fn a_mutilated_manifest_is_parsed_or_refused(app in app(), at: prop::sample::Index, junk in "[\\PC\n\"=\\[\\]]{0,3}") {
        let mut text = app.to_toml().unwrap();
        let at = text.floor_char_boundary(at.index(text.len()));
        text.insert_str(at, &junk);
        if let Err(errors) = App::parse(&text, "x") {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn any_text_is_a_route_or_refused(text in "\\PC{0,40}") {
        if let Ok(route) = RoutePattern::parse(&text) {
            prop_assert_eq!(RoutePattern::parse(&route.to_string()), Ok(route), "its text means the same");
        }
    }

    #[test]
    fn any_request_matches_or_does_not(route in route(), host in option::of("\\PC{0,30}"), path in "/?\\PC{0,40}") {
        let _ = route.matches(host.as_deref(), &path);
    }

    #[test]
    fn conflicts_are_symmetric_and_mean_the_same_requests(a in route(), b in route(), (host, path) in request()) {
        prop_assert_eq!(a.conflicts_with(&b), b.conflicts_with(&a));
        prop_assert!(a.conflicts_with(&a));
        if a.conflicts_with(&b) {
            prop_assert_eq!(a.matches(host.as_deref(), &path), b.matches(host.as_deref(), &path));
        }
    }

    #[test]
    fn specificity_is_a_total_order(a in route(), b in route(), c in route()) {
        let order = a.compare_specificity(&b);
        prop_assert_eq!(order, b.compare_specificity(&a).reverse());
        if order == b.compare_specificity(&c) {
            prop_assert_eq!(order, a.compare_specificity(&c));
        }
        if order == Ordering::Equal {
            prop_assert_eq!(a.compare_specificity(&c), b.compare_specificity(&c));
        }
    }

    #[test]
    fn what_matches_fewer_requests_is_more_specific(a in route(), b in route(), requests in vec(request(), 200)) {
        let matched = |route: &RoutePattern| -> Vec<bool> {
            requests.iter().map(|(host, path)| route.matches(host.as_deref(), path)).collect()
        };
        let pairs: BTreeMap<_, usize> =
            matched(&a).into_iter().zip(matched(&b)).fold(BTreeMap::new(), |mut pairs, pair| {
                *pairs.entry(pair).or_default() += 1;
                pairs
            });
        let seen = |pair| pairs.contains_key(&pair);
        // A request that only the less specific of two overlapping patterns matches must exist as soon as
        // the other matches part of its requests: so a proper subset is never the lesser one.
        if seen((true, true)) && seen((false, true)) && is_subset(&a, &b) {
            prop_assert_eq!(a.compare_specificity(&b), Ordering::Greater);
        }
    }
}

/// Whether every request that `a` matches is matched by `b`, judged by one request made from `a` itself for
/// each way to fill it in.
fn is_subset(a: &RoutePattern, b: &RoutePattern) -> bool {
    use everwarm_manifest::{HostPattern, Segment};
    let hosts: Vec<Option<String>> = match &a.host {
        HostPattern::Any => vec![None, Some("q.unheard.of".into())],
        HostPattern::Suffix(name) => vec![Some(format!("q.{name}")), Some(format!("q.r.{name}"))],
        HostPattern::Exact(name) => vec![Some(name.to_string())],
    };
    let mut path = String::new();
    for segment in a.path.segments() {
        path.push('/');
        path.push_str(match segment {
            Segment::Literal(text) => text,
            Segment::Param(_) => "unheard-of",
        });
    }
    let paths: Vec<String> = if a.path.takes_rest() {
        let shortest = if path.is_empty() {
            "/".to_owned()
        } else {
            path.clone()
        };
        vec![
            shortest,
            format!("{path}/"),
            format!("{path}/unheard-of"),
            format!("{path}/unheard-of/of"),
        ]
    } else {
        vec![path]
    };
    hosts
        .iter()
        .all(|host| paths.iter().all(|path| b.matches(host.as_deref(), path)))
}
