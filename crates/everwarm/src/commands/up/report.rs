//! What `up` tells: for people as short lines, with `--json` as one event a line. Knows no node that
//! runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use everwarm_manifest::{App, HostPattern, RoutePattern, Segment};
use everwarm_node::Deployed;
use serde::Serialize;
use serde_json::Value;

use crate::commands::build::{BuiltComponent, Made, PackedAssets};
use crate::exit::Failure;
use crate::printer::{self, Printer};

/// The most changed paths that are shown to people.
const PATHS_SHOWN_MAX: usize = 3;

/// One event of `up --json`. `docs/cli.md` lists them.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// The first build begins.
    Building { app: &'a str },
    /// The first build is done.
    Built {
        elapsed_ms: f64,
        components: Vec<BuiltComponent<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        assets: Option<PackedAssets>,
    },
    /// The app is served.
    Ready(&'a Ready),
    /// Files changed; a build begins.
    Changed { paths: Vec<&'a Path> },
    /// A new version serves.
    Live {
        version: String,
        elapsed_ms: f64,
        stages: Vec<Timed>,
    },
    /// The build made what serves already.
    Unchanged,
    /// The change isn't served; the old version is.
    Failed { error: Value },
    /// No new requests are taken.
    Draining,
    /// All is done.
    Stopped { elapsed_ms: f64 },
}

/// A step and how long it took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Timed {
    stage: &'static str,
    ms: f64,
    #[serde(skip)]
    took: Duration,
}

impl Timed {
    pub(super) fn new(stage: &'static str, took: Duration) -> Self {
        Self {
            stage,
            ms: printer::milliseconds(took),
            took,
        }
    }
}

/// The app is served: where, and how to ask it.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    app: String,
    version: String,
    listen: SocketAddr,
    urls: Vec<String>,
    curl: String,
    watching: bool,
    stages: Vec<Timed>,
}

impl Ready {
    pub(super) fn new(
        app: &App,
        deployed: &Deployed,
        listen: SocketAddr,
        stages: Vec<Timed>,
        watching: bool,
    ) -> Self {
        let reachable = reachable(listen);
        let mut urls = vec![format!("http://{reachable}")];
        if reachable.ip().is_loopback() {
            urls.push(format!("http://{}.localhost:{}", app.name, listen.port()));
        }
        let curl = app
            .routes()
            .min_by_key(|route| !matches!(route.host, HostPattern::Any))
            .map_or(String::new(), |route| curl(route, reachable));
        Self {
            app: app.name.to_string(),
            version: deployed.version.id.to_string(),
            listen,
            urls,
            curl,
            watching,
            stages,
        }
    }
}

/// An address that a client on this machine can use.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// A command that asks for something that the route matches.
fn curl(route: &RoutePattern, address: SocketAddr) -> String {
    let mut path = String::new();
    for segment in route.path.segments() {
        path.push('/');
        path.push_str(match segment {
            Segment::Literal(text) => text,
            Segment::Param(name) => name,
        });
    }
    if route.path.takes_rest() || path.is_empty() {
        path.push('/');
    }
    let host = match &route.host {
        HostPattern::Any => String::new(),
        HostPattern::Exact(host) => format!(" -H 'host: {}'", host.as_str()),
        HostPattern::Suffix(host) => format!(" -H 'host: www.{}'", host.as_str()),
    };
    format!("curl -i http://{address}{path}{host}")
}

/// The stages of a deploy.
pub(super) fn stages(deployed: &Deployed) -> impl Iterator<Item = Timed> {
    deployed
        .stages
        .iter()
        .map(|(stage, took)| Timed::new(stage.as_str(), *took))
}

pub(super) fn event(printer: &Printer, event: &Event<'_>) {
    printer.event(event);
}

pub(super) fn built(printer: &Printer, made: &Made) {
    printer.event(&Event::Built {
        elapsed_ms: printer::milliseconds(made.took),
        components: made.components.iter().map(BuiltComponent::from).collect(),
        assets: made.assets.as_ref().map(PackedAssets::from),
    });
}

pub(super) fn ready(printer: &Printer, ready: &Ready) {
    printer.event(&Event::Ready(ready));
    let mut text = format!("\n{} is up\n", printer.out(&ready.app).bold().green());
    // Writing to a String can't fail.
    for url in &ready.urls {
        let _ = writeln!(text, "  {url}");
    }
    let _ = write!(text, "\n  {}\n\n  {}\n", ready.curl, shown(&ready.stages));
    text.push_str(if ready.watching {
        "  Edits are built and served as they are saved; Ctrl-C stops.\n"
    } else {
        "  Ctrl-C stops.\n"
    });
    printer.say(&text);
}

/// `build 1.2 s, start 12.0 ms, ...`
fn shown(stages: &[Timed]) -> String {
    let shown = |timed: &Timed| format!("{} {}", timed.stage, printer::elapsed(timed.took));
    stages.iter().map(shown).collect::<Vec<_>>().join(", ")
}

pub(super) fn changed(printer: &Printer, paths: &BTreeSet<PathBuf>, folder: &Path) {
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let mut names: Vec<String> = paths
        .iter()
        .take(PATHS_SHOWN_MAX)
        .map(|path| {
            path.strip_prefix(folder)
                .unwrap_or(path)
                .display()
                .to_string()
        })
        .collect();
    if paths.len() > PATHS_SHOWN_MAX {
        names.push(format!("{} more", paths.len() - PATHS_SHOWN_MAX));
    }
    printer.say(&format!(
        "{} {}",
        printer.out("changed").cyan(),
        names.join(", ")
    ));
    printer.event(&Event::Changed { paths });
}

pub(super) fn live(printer: &Printer, deployed: &Deployed, build: Duration, took: Duration) {
    let mut timed = vec![Timed::new("build", build)];
    timed.extend(stages(deployed));
    printer.say(&format!(
        "{} after {} ({})",
        printer.out("live").green().bold(),
        printer::elapsed(took),
        shown(&timed)
    ));
    printer.event(&Event::Live {
        version: deployed.version.id.to_string(),
        elapsed_ms: printer::milliseconds(took),
        stages: timed,
    });
}

pub(super) fn unchanged(printer: &Printer) {
    printer.say("nothing changed in what is served");
    printer.event(&Event::Unchanged);
}

pub(super) fn failed(printer: &Printer, failure: &Failure) {
    printer.event(&Event::Failed {
        error: printer::failure_as_json(failure),
    });
    printer.explain(failure);
    printer.note("The version before goes on serving.");
}

pub(super) fn stopped(printer: &Printer, took: Duration) {
    printer.say(&format!("stopped after {}", printer::elapsed(took)));
    printer.event(&Event::Stopped {
        elapsed_ms: printer::milliseconds(took),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(route: &str) -> String {
        let route = RoutePattern::parse(route).unwrap();
        curl(&route, "127.0.0.1:3000".parse().unwrap())
    }

    #[test]
    fn curl_line_asks_for_what_the_route_matches() {
        assert_eq!(line("/*"), "curl -i http://127.0.0.1:3000/");
        assert_eq!(line("/api/*"), "curl -i http://127.0.0.1:3000/api/");
        assert_eq!(line("/v1/{id}"), "curl -i http://127.0.0.1:3000/v1/id");
        assert_eq!(
            line("*.example.com/a"),
            "curl -i http://127.0.0.1:3000/a -H 'host: www.example.com'"
        );
    }

    #[test]
    fn node_that_listens_everywhere_is_reached_here() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(of("[::]:80"), "[::1]:80");
        assert_eq!(of("192.0.2.1:80"), "192.0.2.1:80");
    }

    #[test]
    fn events_are_named_in_their_first_key() {
        let text = serde_json::to_string(&Event::Building { app: "a" }).unwrap();
        assert_eq!(text, r#"{"event":"building","app":"a"}"#);
        let text = serde_json::to_string(&Event::Unchanged).unwrap();
        assert_eq!(text, r#"{"event":"unchanged"}"#);
    }
}
