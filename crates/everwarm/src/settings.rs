//! What was meant: flags, environment and defaults resolved once, before anything runs. Verbs read
//! settings, never the environment. Defining flags is `args`'.

use std::env;
use std::io::{IsTerminal, stderr, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use everwarm_node::{NodeConfig, PoolSize};
use http::{HeaderName, HeaderValue};

use crate::args::{BoundsArgs, ColorArg, OutputArgs};

mod blobs;
mod clients;
mod egress;
mod otlp;
mod secrets;
mod serve;
mod tls;

pub(crate) use blobs::Blobs;
pub(crate) use egress::{Egress, parse_name_server};
pub(crate) use otlp::{Otlp, Ratio};
pub(crate) use secrets::{secrets_key, secrets_of_file};
pub(crate) use serve::{Serve, node_data_dir};
pub(crate) use tls::Tls;

/// Where `up` listens unless it is told otherwise.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:3000";
/// Where `serve` has its admin API unless it is told otherwise.
pub(crate) const ADMIN_DEFAULT: &str = "127.0.0.1:3001";
/// The same, as a client writes it.
pub(crate) const ADMIN_URL_DEFAULT: &str = "http://127.0.0.1:3001";
/// The data folder in an app's folder.
const DATA_DIR_DEFAULT: &str = ".everwarm";

/// What the surroundings say, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub(crate) no_color: bool,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
}

impl Environment {
    pub(crate) fn of_process() -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            // https://no-color.org: set and not empty.
            no_color: dumb || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            stdout_is_terminal: stdout().is_terminal(),
            stderr_is_terminal: stderr().is_terminal(),
        }
    }
}

/// How things are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) color_stdout: bool,
    pub(crate) color_stderr: bool,
    /// Whether progress may move on one line.
    pub(crate) animated: bool,
}

impl Output {
    pub(crate) fn resolve(args: &OutputArgs, environment: &Environment) -> Self {
        let color = |terminal: bool| match args.color {
            ColorArg::Always => true,
            ColorArg::Never => false,
            ColorArg::Auto => terminal && !environment.no_color,
        };
        Self {
            json: args.json,
            color_stdout: color(environment.stdout_is_terminal) && !args.json,
            color_stderr: color(environment.stderr_is_terminal),
            animated: environment.stderr_is_terminal,
        }
    }
}

/// The folder of the app that is meant.
pub(crate) fn app_folder(typed: Option<PathBuf>) -> PathBuf {
    typed.unwrap_or_else(|| PathBuf::from("."))
}

/// Where the node of an app keeps its data.
pub(crate) fn data_dir(typed: Option<PathBuf>, app_folder: &Path) -> PathBuf {
    typed.unwrap_or_else(|| app_folder.join(DATA_DIR_DEFAULT))
}

/// Sets the bounds that were asked for; the others stay as they are.
pub(crate) fn set_bounds(config: &mut NodeConfig, bounds: BoundsArgs) {
    if let Some(requests) = bounds.requests_max {
        config.requests_max = requests.get();
    }
    if let Some(instances) = bounds.instances_max {
        config.pool.instances_max = instances.get();
    }
    if let Some(bytes) = bounds.resident_max {
        config.resident_bytes_max = bytes.as_u64();
    }
    if let Some(bytes) = bounds.cache_memory_max {
        config.cache.memory_bytes = bytes.as_u64();
    }
    if let Some(bytes) = bounds.cache_disk_max {
        config.cache.disk_bytes = bytes.as_u64();
    }
}

/// How many instances may be alive at once.
pub(crate) fn parse_instances(text: &str) -> Result<NonZeroU32, String> {
    let number: NonZeroU32 = text.parse().map_err(|_| "write a number".to_owned())?;
    let most = PoolSize::INSTANCES_MAX;
    if number.get() > most {
        return Err(format!(
            "at most {most}: each reserves 4 GiB of address space, for both worlds, and a process has 128 TiB"
        ));
    }
    Ok(number)
}

/// An address with a port, or a port on this machine alone.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse()
        .map_err(|_| format!("write an address and a port, as in {LISTEN_DEFAULT}, or a port"))
}

/// A header as curl has it: `name: value`.
pub(crate) fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("write it as `name: value`, as in `accept: application/json`")?;
    let name = name.trim().parse().map_err(|_| "the name is no header's")?;
    let value = value.trim().parse();
    Ok((
        name,
        value.map_err(|_| "the value has forbidden characters")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(json: bool, color: ColorArg, no_color: bool, terminal: bool) -> Output {
        let environment = Environment {
            no_color,
            stdout_is_terminal: terminal,
            stderr_is_terminal: terminal,
        };
        Output::resolve(&OutputArgs { json, color }, &environment)
    }

    #[test]
    fn no_color_turns_colours_off_and_the_flag_has_the_last_word() {
        assert!(resolved(false, ColorArg::Auto, false, true).color_stdout);
        assert!(!resolved(false, ColorArg::Auto, true, true).color_stderr);
        assert!(!resolved(false, ColorArg::Auto, false, false).color_stdout);
        assert!(resolved(false, ColorArg::Always, true, false).color_stderr);
        assert!(!resolved(false, ColorArg::Never, false, true).color_stderr);
    }

    #[test]
    fn json_never_has_colours() {
        assert!(!resolved(true, ColorArg::Always, false, true).color_stdout);
    }

    #[test]
    fn port_alone_is_on_this_machine_only() {
        let local = |port| Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        assert_eq!(parse_listen("8080"), local(8080));
        assert_eq!(parse_listen(":8080"), local(8080));
        assert_eq!(parse_listen("localhost:1"), local(1));
        assert_eq!(parse_listen("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert!(parse_listen("everywhere").is_err());
        assert!(parse_listen("70000").is_err());
    }

    #[test]
    fn header_is_name_colon_value() {
        let (name, value) = parse_header("Accept:  text/html ").unwrap();
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("accept", &b"text/html"[..])
        );
        assert!(parse_header("accept").is_err());
        assert!(parse_header("a b: c").is_err());
        assert!(parse_header("a: b\nc").is_err());
    }
}
