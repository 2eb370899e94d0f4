//! Access events as lines, JSON or for people.
//!
//! Lines are made on the thread that served the request, into a buffer of that thread, and written
//! by a thread of its own in batches: a request pays for formatting, not for a system call.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everwarm_edge::meter::{AccessEvent, AccessLog};

use super::writer::Writer;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Writes access events as lines.
#[derive(Debug)]
pub struct AccessLogger {
    format: AccessFormat,
    writer: Writer,
}

thread_local! {
    static LINE: RefCell<String> = RefCell::new(String::with_capacity(512));
}

impl AccessLogger {
    /// Starts the writing thread.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread.
    pub fn start(format: AccessFormat, output: Box<dyn io::Write + Send>) -> io::Result<Self> {
        Ok(Self {
            format,
            writer: Writer::start(output)?,
        })
    }
}

impl AccessLog for AccessLogger {
    fn record(&self, event: &AccessEvent) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                AccessFormat::Json => json(line, event),
                AccessFormat::Pretty => pretty(line, event),
            }
            self.writer.write(line);
        });
    }
}

fn pretty(line: &mut String, event: &AccessEvent) {
    let took_ms = event.took.as_secs_f64() * 1e3;
    let start = event.start_level.map_or("-", |level| level.as_str());
    // Writing to a String can't fail.
    let _ = write!(
        line,
        "{:>6} {} {} {took_ms:.2} ms {start}",
        event.method.as_str(),
        event.status.as_u16(),
        escaped_target(event),
    );
    if let Some(usage) = &event.usage {
        let _ = write!(line, " cpu {:.2} ms", usage.cpu.as_secs_f64() * 1e3);
    }
    if let Some(code) = event.code {
        let _ = write!(line, " {code} request {}", event.request_id);
    }
    line.push('\n');
    if let Some(detail) = &event.detail {
        for detail in detail.lines() {
            let _ = writeln!(line, "       {detail}");
        }
    }
}

/// The target is what a client sent: control characters must not reach a terminal.
fn escaped_target(event: &AccessEvent) -> String {
    target(event)
        .chars()
        .flat_map(|c| {
            let control = c.is_control();
            c.escape_default()
                .filter(move |_| control)
                .chain((!control).then_some(c))
        })
        .collect()
}

fn target(event: &AccessEvent) -> &str {
    event
        .uri
        .path_and_query()
        .map_or("*", |target| target.as_str())
}

fn json(line: &mut String, event: &AccessEvent) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    // Writing to a String can't fail.
    let _ = write!(
        line,
        "{{\"time_ms\":{},\"request_id\":\"{}\",\"method\":\"{}\",\"status\":{},\"took_us\":{}",
        since.as_millis(),
        event.request_id,
        event.method.as_str(),
        event.status.as_u16(),
        event.took.as_micros(),
    );
    text(line, "path", target(event));
    if let Some(client) = event.client {
        let _ = write!(line, ",\"client\":\"{client}\"");
    }
    if let Some(spec) = &event.function {
        text(line, "tenant", spec.tenant.as_str());
        text(line, "app", spec.app.as_str());
        text(line, "function", spec.name.as_str());
        text(line, "version", &spec.version);
    }
    if let Some(level) = event.start_level {
        text(line, "start", level.as_str());
    }
    if let Some(usage) = &event.usage {
        let _ = write!(
            line,
            ",\"cpu_us\":{},\"wall_us\":{},\"memory_peak\":{},\"bytes_in\":{},\"bytes_out\":{}",
            usage.cpu.as_micros(),
            usage.wall.as_micros(),
            usage.memory_peak_bytes,
            usage.bytes_in,
            usage.bytes_out,
        );
    }
    if let Some(code) = event.code {
        text(line, "error", code);
    }
    if let Some(detail) = &event.detail {
        text(line, "detail", detail);
    }
    line.push_str("}\n");
}

fn text(line: &mut String, key: &str, value: &str) {
    let plain = value
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    let _ = if plain {
        write!(line, ",\"{key}\":\"{value}\"")
    } else {
        write!(line, ",\"{key}\":{}", serde_json::Value::from(value))
    };
}
