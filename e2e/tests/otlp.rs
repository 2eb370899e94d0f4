//! Traces, logs and metrics on their way to a collector, that takes them, is slow, is gone, or talks nonsense.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use everwarm_e2e::asked::by;
use everwarm_e2e::collector::{
    Behaviour, Collector, Data, Kept, LogRecord, Number, Span, SpanKind, attribute, hex, text,
};
use everwarm_e2e::upstream::Upstream;
use everwarm_e2e::{App, DataFolder, NewApp, Reply, Request, Server, World, component, eventually};
use http::StatusCode;
use rustix::process::Signal;
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const HOST: &str = "shop.example.com";

fn command(data: &DataFolder, url: &str, flags: &[&str]) -> Command {
    let mut command = data.command();
    command.args(["--otlp-endpoint", url]).args(flags);
    command
}

/// An app whose functions are these guests, each at its own path, with these lines for the first.
async fn deploy(server: &Server, guests: &[&str], lines: &str) {
    let mut manifest = "name = \"shop\"\n".to_owned();
    let mut components = BTreeMap::new();
    for (place, guest) in guests.iter().enumerate() {
        let routes = if place == 0 { "[\"/*\"]" } else { "[]" };
        // Writing to a String can't fail.
        let _ = write!(
            manifest,
            "[[function]]\nname = \"{guest}\"\ncomponent = \"{guest}.wasm\"\nroutes = {routes}\n\
             limits = {{ cpu_time = \"10s\", wall_time = \"30s\" }}\n"
        );
        if place == 0 {
            manifest += lines;
        }
        components.insert((*guest).to_owned(), component(guest, World::Wasi02));
    }
    let mut app = NewApp::new("shop", guests[0], &["/*"]);
    app.components = components;
    app.deploy.manifest = manifest;
    app.deploy(&server.client()).await.unwrap();
}

async fn traced(server: &Server, path: &str) -> Reply {
    let request = Request::get(path).header("host", HOST);
    server
        .node
        .send(request.header("traceparent", PARENT))
        .await
}

fn of<'s>(spans: &'s [Span], function: &str, kind: SpanKind) -> Vec<&'s Span> {
    let is_it = |span: &&Span| {
        span.kind == kind as i32
            && attribute(&span.attributes, "everwarm.function").as_deref() == Some(function)
    };
    spans.iter().filter(is_it).collect()
}

fn line(kept: &Kept, said: &str) -> Option<LogRecord> {
    let is_it = |record: &&LogRecord| text(record) == Some(said);
    kept.logs.iter().find(is_it).cloned()
}

async fn metrics(server: &Server) -> String {
    let token = format!("Bearer {}", server.first_token().expose());
    let asked = Request::get("/metrics").header("authorization", &token);
    server.ask_admin(asked).await.ok().to_owned()
}

/// Waits until a metric has a line that ends so.
async fn counted(server: &Server, metric: &str, is_so: impl Fn(u64) -> bool) {
    eventually(metric, async || {
        let text = metrics(server).await;
        let line = text.lines().find(|line| line.starts_with(metric))?;
        let number = line.rsplit(' ').next()?.parse().ok()?;
        is_so(number).then_some(())
    })
    .await;
}

#[tokio::test]
async fn trace_has_a_span_of_each_request_below_the_one_that_it_was_sent_from() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let upstream = Upstream::start().await;
    let data = DataFolder::new();
    let server = data.start_with(command(&data, &collector.url(), &[])).await;
    let grants = format!(
        "[function.grants]\nhttp = [\"{}\"]\nfunctions = [\"echo\"]\n",
        upstream.grant()
    );
    deploy(&server, &["fetch", "echo"], &grants).await;
    traced(
        &server,
        &by("/get", "http://echo.everwarm.internal/head?key=hidden"),
    )
    .await
    .ok();
    let spans = collector.trace(TRACE, 3).await;
    let [fetch] = of(&spans, "fetch", SpanKind::Server)[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(hex(&fetch.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(fetch.name, "GET");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/get"),
        ("http.response.status_code", "200"),
        ("everwarm.app", "shop"),
        ("everwarm.tenant", "default"),
        ("everwarm.start", "warm"),
    ] {
        assert_eq!(
            attribute(&fetch.attributes, name).as_deref(),
            Some(value),
            "{name}"
        );
    }
    assert!(
        attribute(&fetch.attributes, "everwarm.version")
            .unwrap()
            .starts_with("sha256:")
    );
    assert!(
        fetch.start_time_unix_nano > 0 && fetch.end_time_unix_nano >= fetch.start_time_unix_nano
    );
    let [call] = of(&spans, "fetch", SpanKind::Client)[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(call.parent_span_id, fetch.span_id);
    let address = attribute(&call.attributes, "server.address");
    assert_eq!(address.as_deref(), Some("echo.everwarm.internal"));
    let [echo] = of(&spans, "echo", SpanKind::Server)[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(echo.parent_span_id, call.span_id);
    assert_eq!(
        attribute(&echo.attributes, "url.path").as_deref(),
        Some("/head")
    );

    // What is asked outside hears of the span that stands for it.
    let heard = traced(&server, &by("/get", &upstream.url("/head?key=hidden"))).await;
    let spans = collector.trace(TRACE, 5).await;
    let outside = of(&spans, "fetch", SpanKind::Client);
    let outside = outside
        .iter()
        .find(|span| span.span_id != call.span_id)
        .unwrap();
    assert!(heard.ok().contains(&format!(
        "traceparent: 00-{TRACE}-{}-01",
        hex(&outside.span_id)
    )));
    let status = attribute(&outside.attributes, "http.response.status_code");
    assert_eq!(status.as_deref(), Some("200"));
    // No query, of whichever request.
    let told = format!("{:?}", collector.kept());
    assert!(!told.contains("hidden") && !told.contains("url="), "{told}");
    let resource = collector.kept().resource;
    assert_eq!(
        attribute(&resource, "service.name").as_deref(),
        Some("everwarm")
    );
}

#[tokio::test]
async fn what_is_kept_by_key_and_sent_to_queues_has_spans_that_say_no_values() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let data = DataFolder::new();
    let server = data.start_with(command(&data, &collector.url(), &[])).await;
    let grants = "[function.grants]\nkv = [\"default\"]\nqueues = [\"mails\"]\n";
    let queue = "[[queue]]\nname = \"mails\"\nfunction = \"queue\"\n";
    deploy(&server, &["queue"], &format!("{grants}{queue}")).await;
    let body = json!([{ "body": "hidden message" }]).to_string();
    let request = Request::post("/send?mails", body).header("host", HOST);
    let request = request.header("content-type", "application/json");
    server
        .node
        .send(request.header("traceparent", PARENT))
        .await
        .ok();
    // The request, the message, its delivery, and what the delivery keeps.
    let spans = collector.trace(TRACE, 4).await;
    let [sent] = of(&spans, "queue", SpanKind::Producer)[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(
        attribute(&sent.attributes, "messaging.destination.name").as_deref(),
        Some("mails")
    );
    let delivered = of(&spans, "queue", SpanKind::Server);
    let delivered = delivered
        .iter()
        .find(|span| span.parent_span_id == sent.span_id);
    let delivered = delivered.unwrap_or_else(|| panic!("{spans:#?}"));
    let kept = of(&spans, "queue", SpanKind::Client);
    let kept = kept.iter().find(|span| span.name == "kv set").unwrap();
    assert_eq!(kept.parent_span_id, delivered.span_id);
    assert_eq!(
        attribute(&kept.attributes, "db.namespace").as_deref(),
        Some("default")
    );
    let told = format!("{spans:?}");
    assert!(
        !told.contains("hidden") && !told.contains("mails-0000"),
        "{told}"
    );
}

#[tokio::test]
async fn statements_have_spans_that_do_not_say_them() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let data = DataFolder::new();
    let server = data.start_with(command(&data, &collector.url(), &[])).await;
    let lines = "[function.grants]\nsql = [\"default\"]\n[[sql]]\nname = \"default\"\n";
    deploy(&server, &["sql"], lines).await;
    let asks = json!({ "asks": [
        { "execute": "create table hidden (name text)" },
        { "query": "select hidden from nowhere" },
    ] });
    let request = Request::post("/", asks.to_string()).header("host", HOST);
    let request = request.header("content-type", "application/json");
    server
        .node
        .send(request.header("traceparent", PARENT))
        .await
        .ok();
    let spans = collector.trace(TRACE, 3).await;
    let asked = of(&spans, "sql", SpanKind::Client);
    let named = |name: &str| asked.iter().find(|span| span.name == name).unwrap();
    assert!(named("sql execute").status.is_none());
    let refused = named("sql query");
    assert_eq!(
        attribute(&refused.attributes, "error.type").as_deref(),
        Some("refused")
    );
    assert!(!format!("{spans:?}").contains("hidden"), "{spans:?}");
}

#[tokio::test]
async fn lines_and_access_events_are_logs_of_their_request() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let data = DataFolder::new();
    let server = data.start_with(command(&data, &collector.url(), &[])).await;
    deploy(&server, &["misbehave"], "").await;
    traced(&server, "/stdout?hidden").await.ok();
    traced(&server, "/log").await.ok();
    traced(&server, "/trap").await.failed(500, "EW3002");
    let [printed, logged, access, trap] = collector
        .until("all lines", |kept| {
            Some([
                line(kept, "a line on stdout")?,
                line(kept, "a message with a level")?,
                line(kept, "GET /stdout 200")?,
                line(kept, "GET /trap 500")?,
            ])
        })
        .await;
    for record in [&printed, &logged, &access, &trap] {
        assert_eq!(hex(&record.trace_id), TRACE);
        assert_eq!(
            attribute(&record.attributes, "everwarm.app").as_deref(),
            Some("shop")
        );
        assert!(attribute(&record.attributes, "everwarm.request_id").is_some());
    }
    assert_eq!(printed.span_id, access.span_id);
    assert_eq!(
        attribute(&printed.attributes, "log.iostream").as_deref(),
        Some("stdout")
    );
    assert_eq!(
        (logged.severity_text.as_str(), logged.severity_number),
        ("warn", 13)
    );
    assert_eq!(
        attribute(&logged.attributes, "everwarm.log.context").as_deref(),
        Some("shop")
    );
    assert_eq!(
        attribute(&trap.attributes, "error.type").as_deref(),
        Some("EW3002")
    );
    assert_eq!(trap.severity_number, 17);
    let spans = collector.trace(TRACE, 3).await;
    let is_failed = |span: &&Span| span.status.as_ref().is_some_and(|status| status.code == 2);
    assert_eq!(spans.iter().filter(is_failed).count(), 1);
    assert!(!format!("{:?}", collector.kept()).contains("hidden"));
}

#[tokio::test]
async fn what_is_left_is_sent_before_the_node_ends_and_what_it_counts_too() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let data = DataFolder::new();
    let server = data.start_with(command(&data, &collector.url(), &[])).await;
    deploy(&server, &["misbehave"], "").await;
    for _ in 0..5 {
        traced(&server, "/counter").await.ok();
    }
    assert!(server.node.stop(Signal::TERM).await.status.success());
    let kept = collector.kept();
    let of_trace = kept
        .spans
        .iter()
        .filter(|span| hex(&span.trace_id) == TRACE);
    assert_eq!(of_trace.count(), 5);
    let requests = kept
        .metrics
        .iter()
        .find(|metric| metric.name == "everwarm_requests");
    let Some(Data::Sum(sum)) = &requests.unwrap().data else {
        panic!("{requests:?}");
    };
    let of_app = sum
        .data_points
        .iter()
        .find(|point| attribute(&point.attributes, "app").as_deref() == Some("shop"));
    assert_eq!(of_app.unwrap().value, Some(Number::AsInt(5)));
    let seconds = kept
        .metrics
        .iter()
        .find(|metric| metric.name == "everwarm_request_seconds");
    let Some(Data::Histogram(histogram)) = &seconds.unwrap().data else {
        panic!("{seconds:?}");
    };
    let point = &histogram.data_points[0];
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
}

#[tokio::test]
async fn node_decides_what_is_recorded_and_a_trusted_proxy_may() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let none = ["--otlp-sample-ratio", "0"];
    let data = DataFolder::new();
    let server = data
        .start_with(command(&data, &collector.url(), &none))
        .await;
    deploy(&server, &["echo"], "").await;
    let told = traced(&server, "/head").await;
    assert!(told.ok().contains(&format!("traceparent: 00-{TRACE}-")));
    assert!(
        told.ok()
            .lines()
            .any(|line| line.starts_with("traceparent: ") && line.ends_with("-00"))
    );
    // It is over for the collector once its access event is there.
    collector
        .until("the access event", |kept| line(kept, "GET /head 200"))
        .await;
    assert!(server.node.stop(Signal::TERM).await.status.success());
    assert!(collector.kept().spans.is_empty());

    let trusting = [&none[..], &["--trusted-proxies", "127.0.0.0/8"]].concat();
    let server = data
        .start_with(command(&data, &collector.url(), &trusting))
        .await;
    server.get(HOST, "/head").await.ok();
    traced(&server, "/head").await.ok();
    assert_eq!(collector.trace(TRACE, 1).await.len(), 1);
    assert!(server.node.stop(Signal::TERM).await.status.success());
    assert_eq!(collector.kept().spans.len(), 1);
}

/// Requests are answered, and the node ends, whatever a collector does.
async fn serves_and_ends(url: &str) -> Server {
    let data = DataFolder::new();
    let server = data.start_with(command(&data, url, &[])).await;
    deploy(&server, &["misbehave"], "").await;
    for _ in 0..20 {
        traced(&server, "/counter").await.ok();
    }
    server
}

#[tokio::test]
async fn collector_that_is_gone_costs_nobody_anything() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let server = serves_and_ends(&format!("http://{gone}")).await;
    let stopped = server.node.stop(Signal::TERM).await;
    assert!(stopped.status.success());
    stopped.log().line("telemetry was dropped").await;
}

#[tokio::test]
async fn collector_that_never_answers_costs_nobody_anything() {
    let collector = Collector::start(Behaviour::NeverAnswers).await;
    let server = serves_and_ends(&collector.url()).await;
    collector
        .until("it is asked", |kept| (kept.requests > 0).then_some(()))
        .await;
    traced(&server, "/counter").await.ok();
    let stopped = server.node.stop(Signal::TERM).await;
    assert!(stopped.status.success());
    stopped.log().line("the last telemetry was dropped").await;
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_not_sent_again() {
    let collector = Collector::start(Behaviour::Answers(StatusCode::FORBIDDEN)).await;
    let server = serves_and_ends(&collector.url()).await;
    counted(
        &server,
        "everwarm_otlp_dropped_total{signal=\"traces\"}",
        |count| count >= 20,
    )
    .await;
    collector.behave(Behaviour::Rejects);
    traced(&server, "/counter").await.ok();
    counted(
        &server,
        "everwarm_otlp_dropped_total{signal=\"traces\"}",
        |count| count >= 21,
    )
    .await;
    // Nonsense is no answer, and nothing that could be read as one.
    collector.behave(Behaviour::TalksNonsense);
    traced(&server, "/counter").await.ok();
    counted(
        &server,
        "everwarm_otlp_sent_total{signal=\"traces\"}",
        |count| count >= 1,
    )
    .await;
    assert!(server.node.stop(Signal::TERM).await.status.success());
    assert!(collector.kept().spans.is_empty());
}

#[tokio::test]
async fn what_a_collector_has_no_time_for_is_sent_again() {
    let busy = Behaviour::Answers(StatusCode::SERVICE_UNAVAILABLE);
    let collector = Collector::start(busy).await;
    let server = serves_and_ends(&collector.url()).await;
    collector
        .until("it is asked twice", |kept| {
            (kept.requests >= 3).then_some(())
        })
        .await;
    assert!(collector.kept().spans.is_empty());
    collector.behave(Behaviour::Keeps);
    collector.trace(TRACE, 20).await;
    assert!(server.node.stop(Signal::TERM).await.status.success());
}

#[tokio::test]
async fn keys_of_a_collector_are_sent_to_it_and_shown_nowhere() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let data = DataFolder::new();
    let headers = (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "authorization=Bearer%20hidden-key",
    );
    let mut with_key = command(&data, &collector.url(), &[]);
    with_key.env(headers.0, headers.1);
    let server = data.start_with(with_key).await;
    deploy(&server, &["misbehave"], "").await;
    traced(&server, "/counter").await.ok();
    let said = collector
        .until("a key", |kept| kept.authorization.clone())
        .await;
    assert_eq!(said, "Bearer hidden-key");
    let stopped = server.node.stop(Signal::TERM).await;
    let lines = [stopped.log().lines(), stopped.out().lines()].concat();
    assert!(!lines.iter().any(|line| line.contains("hidden-key")));
    let mut check = command(&data, &collector.url(), &["--check"]);
    let output = check.env(headers.0, headers.1).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains(&collector.url()), "{shown}");
    assert!(!shown.contains("hidden-key"), "{shown}");
}

#[tokio::test]
async fn app_that_is_up_sends_what_one_on_a_node_sends() {
    let collector = Collector::start(Behaviour::Keeps).await;
    let app = App::new("misbehave", World::Wasi02).flag("--otlp-endpoint", &collector.url());
    let node = app.start().await;
    let request = Request::get("/stdout").header("traceparent", PARENT);
    node.send(request).await.ok();
    let spans = collector.trace(TRACE, 1).await;
    assert_eq!(spans.len(), 1, "{spans:#?}");
    let lines = ["a line on stdout", "GET /stdout 200"];
    let [printed, access] = collector
        .until("both lines", |kept| {
            Some([line(kept, lines[0])?, line(kept, lines[1])?])
        })
        .await;
    assert_eq!(
        (hex(&printed.trace_id), printed.span_id),
        (TRACE.into(), access.span_id)
    );
    drop(node.stop(Signal::TERM).await);
    let kept = collector.kept();
    let names: Vec<&str> = kept
        .metrics
        .iter()
        .map(|metric| metric.name.as_str())
        .collect();
    assert!(names.contains(&"everwarm_requests"), "{names:?}");
}
