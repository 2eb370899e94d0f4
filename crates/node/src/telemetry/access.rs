//! Access events as lines, JSON or for people.
//!
//! Lines are made on the thread that served the request, into a buffer of that thread, and written
//! by a thread of its own in batches: a request pays for formatting, not for a system call.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everwarm_edge::meter::{AccessEvent, AccessLog};

use super::book::LogBook;
use super::writer::Writer;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Columns that the method has in a line for people: as many as the longest common one.
const METHOD_WIDTH: usize = 6;

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

    /// From now on lines are kept in a book too, each with its app's. That is done on the writing thread.
    pub fn keep_in(&self, book: Arc<LogBook>) {
        self.writer.keep_in(book);
    }
}

impl AccessLog for AccessLogger {
    fn record(&self, event: &AccessEvent<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                AccessFormat::Json => json(line, event),
                AccessFormat::Pretty => pretty(line, event),
            }
            // What failed before a guest ran may name the node's own files, which are no tenant's business.
            let is_the_apps = event.detail.is_none() || event.usage.is_some();
            let about = event.function.filter(|_| is_the_apps);
            self.writer.write(line, about);
        });
    }
}

fn pretty(line: &mut String, event: &AccessEvent<'_>) {
    let method = event.method.as_str();
    for _ in method.len()..METHOD_WIDTH {
        line.push(' ');
    }
    line.push_str(method);
    line.push(' ');
    number(line, event.status.as_u16());
    line.push(' ');
    escaped_target(line, event);
    line.push(' ');
    hundredths_ms(line, event.took);
    line.push(' ');
    line.push_str(event.start.map_or("-", |start| start.as_str()));
    if let Some(usage) = &event.usage {
        line.push_str(" cpu ");
        hundredths_ms(line, usage.cpu);
    }
    // Writing to a String can't fail.
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

/// A number, without the machinery of formatting: a line has a dozen, and each request has a line.
fn number(line: &mut String, number: impl itoa::Integer) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// Milliseconds with two digits after the point.
fn hundredths_ms(line: &mut String, duration: Duration) {
    let hundredths = (duration.as_micros() + 5) / 10;
    number(line, hundredths / 100);
    line.push('.');
    number(line, hundredths / 10 % 10);
    number(line, hundredths % 10);
    line.push_str(" ms");
}

/// The target is what a client sent: control characters must not reach a terminal.
fn escaped_target(line: &mut String, event: &AccessEvent<'_>) {
    let target = target(event);
    if !target.contains(char::is_control) {
        line.push_str(target);
        return;
    }
    for c in target.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

fn target<'e>(event: &'e AccessEvent<'_>) -> &'e str {
    event
        .uri
        .path_and_query()
        .map_or("*", |target| target.as_str())
}

fn json(line: &mut String, event: &AccessEvent<'_>) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    line.push_str("{\"time_ms\":");
    number(line, since.as_millis());
    line.push_str(",\"request_id\":\"");
    event.request_id.push_to(line);
    line.push_str("\",\"trace_id\":\"");
    let trace = event.request_id.trace().digits();
    // Digits are text.
    line.push_str(std::str::from_utf8(&trace).unwrap_or_default());
    line.push('"');
    text(line, "method", event.method.as_str());
    field(line, "status", event.status.as_u16());
    field(line, "took_us", event.took.as_micros());
    text(line, "path", target(event));
    if let Some(client) = event.client {
        // Writing to a String can't fail.
        let _ = write!(line, ",\"client\":\"{client}\"");
    }
    if let Some(answerer) = &event.function {
        text(line, "tenant", answerer.tenant().as_str());
        text(line, "app", answerer.app().as_str());
        text(line, "function", answerer.name().as_str());
        text(line, "version", answerer.version());
    }
    if let Some(start) = event.start {
        text(line, "start", start.as_str());
    }
    if let Some(usage) = &event.usage {
        field(line, "cpu_us", usage.cpu.as_micros());
        field(line, "wall_us", usage.wall.as_micros());
        field(line, "memory_peak", usage.memory_peak_bytes);
        field(line, "bytes_in", usage.bytes_in);
        field(line, "bytes_out", usage.bytes_out);
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
    key_of(line, key);
    if plain {
        line.push('"');
        line.push_str(value);
        line.push('"');
    } else {
        // Writing to a String can't fail.
        let _ = write!(line, "{}", serde_json::Value::from(value));
    }
}

fn field(line: &mut String, key: &str, value: impl itoa::Integer) {
    key_of(line, key);
    number(line, value);
}

fn key_of(line: &mut String, key: &str) {
    line.push_str(",\"");
    line.push_str(key);
    line.push_str("\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_to_two_digits() {
        let shown = |us| {
            let mut line = String::new();
            hundredths_ms(&mut line, Duration::from_micros(us));
            line
        };
        assert_eq!(shown(0), "0.00 ms");
        assert_eq!(shown(4), "0.00 ms");
        assert_eq!(shown(5), "0.01 ms");
        assert_eq!(shown(1_054), "1.05 ms");
        assert_eq!(shown(61_999_996), "62000.00 ms");
    }

    #[test]
    fn values_are_json_whatever_is_in_them() {
        for value in [
            "plain",
            "a \"quote\"",
            "back\\slash",
            "line\nend",
            "\u{1f600}",
        ] {
            let mut line = String::from("{\"first\":1");
            text(&mut line, "key", value);
            line.push('}');
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(parsed["key"], value);
        }
    }
}
