//! Standard streams: what a guest prints becomes log events of its function; its input is empty.
//!
//! Owns the cutting into lines and the bounds on them: a guest can't fill the log faster than
//! [`BYTES_PER_WINDOW_MAX`] allows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance as Prepared, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes of one line; a longer one is cut.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Bytes that one instance may print in each [`WINDOW`]; the rest is dropped and counted.
const BYTES_PER_WINDOW_MAX: usize = 256 << 10;
/// See [`BYTES_PER_WINDOW_MAX`].
const WINDOW: Duration = Duration::from_secs(1);

/// Takes what guests print, line by line. Called on data-plane threads, so it must neither block nor wait.
pub trait GuestOutput: Send + Sync + 'static {
    /// Takes a line that a function wrote to a stream, `stdout` or `stderr`.
    fn line(&self, function: &Arc<FunctionSpec>, stream: &'static str, line: &str);

    /// Takes what the node says of a function: what it asked for in vain, for instance.
    fn notice(&self, function: &Arc<FunctionSpec>, text: &str);
}

/// See the module's documentation.
pub struct Stdio {
    output: Option<Arc<dyn GuestOutput>>,
}

impl Stdio {
    /// Lines go to the log, and to `output`.
    pub fn new(output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self { output }
    }
}

impl std::fmt::Debug for Stdio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stdio").finish_non_exhaustive()
    }
}

impl Capability for Stdio {
    fn name(&self) -> &'static str {
        "stdio"
    }

    fn interfaces(&self, world: World) -> &'static [&'static str] {
        match world {
            World::Wasi02 => &[
                "wasi:cli/stdin@0.2.12",
                "wasi:cli/stdout@0.2.12",
                "wasi:cli/stderr@0.2.12",
                "wasi:cli/exit@0.2.12",
                "wasi:cli/terminal-input@0.2.12",
                "wasi:cli/terminal-output@0.2.12",
                "wasi:cli/terminal-stdin@0.2.12",
                "wasi:cli/terminal-stdout@0.2.12",
                "wasi:cli/terminal-stderr@0.2.12",
            ],
            World::Wasi03 => &[
                "wasi:cli/types@0.3.0",
                "wasi:cli/stdin@0.3.0",
                "wasi:cli/stdout@0.3.0",
                "wasi:cli/stderr@0.3.0",
                "wasi:cli/exit@0.3.0",
                "wasi:cli/terminal-input@0.3.0",
                "wasi:cli/terminal-output@0.3.0",
                "wasi:cli/terminal-stdin@0.3.0",
                "wasi:cli/terminal-stdout@0.3.0",
                "wasi:cli/terminal-stderr@0.3.0",
            ],
        }
    }

    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        macro_rules! link_all {
            ($cli:path) => {{
                use $cli as cli;
                cli::stdin::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::stdout::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::stderr::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::exit::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
                cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
            }};
        }
        link_all!(wasmtime_wasi::p2::bindings::cli);
        if world == World::Wasi03 {
            link_all!(wasmtime_wasi::p3::bindings::cli);
        }
        Ok(())
    }

    fn configure(&self, _function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        Ok(crate::stateless())
    }

    fn prepare(&self, _state: &State, instance: &mut Prepared<'_>) {
        let log = |stream| Log::new(stream, instance.function, self.output.clone());
        let (stdout, stderr) = (log("stdout"), log("stderr"));
        instance.wasi.stdout(stdout);
        instance.wasi.stderr(stderr);
    }
}

/// One standard stream of one instance.
#[derive(Clone)]
struct Log(Arc<Mutex<Lines>>);

struct Lines {
    stream: &'static str,
    function: Arc<FunctionSpec>,
    output: Option<Arc<dyn GuestOutput>>,
    line: Vec<u8>,
    window_started: Instant,
    window_bytes: usize,
    dropped_bytes: usize,
}

impl Log {
    fn new(
        stream: &'static str,
        function: &Arc<FunctionSpec>,
        output: Option<Arc<dyn GuestOutput>>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            stream,
            function: Arc::clone(function),
            output,
            line: Vec::new(),
            window_started: Instant::now(),
            window_bytes: 0,
            dropped_bytes: 0,
        })))
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        let bytes = self.admit(bytes);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                if self.line.len() + part.len() > LINE_BYTES_MAX {
                    self.emit();
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.line.pop();
                self.emit();
            }
        }
    }

    /// The part of `bytes` that this window has room for.
    fn admit<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.window_started.elapsed() >= WINDOW {
            self.window_started = Instant::now();
            self.window_bytes = 0;
            self.report_dropped();
        }
        let room = BYTES_PER_WINDOW_MAX - self.window_bytes;
        let (taken, dropped) = bytes.split_at(bytes.len().min(room));
        self.window_bytes += taken.len();
        self.dropped_bytes += dropped.len();
        taken
    }

    fn emit(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let spec = &self.function;
        tracing::info!(
            target: "everwarm::guest",
            app = %spec.app,
            function = %spec.name,
            stream = self.stream,
            line = line.trim_end_matches('\r'),
        );
        if let Some(output) = &self.output {
            output.line(spec, self.stream, &line);
        }
        self.line.clear();
    }

    fn report_dropped(&mut self) {
        if self.dropped_bytes > 0 {
            let spec = &self.function;
            tracing::warn!(
                target: "everwarm::guest",
                app = %spec.app,
                function = %spec.name,
                stream = self.stream,
                bytes = self.dropped_bytes,
                "output was dropped: the function prints too much"
            );
            self.dropped_bytes = 0;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.emit();
        }
        self.report_dropped();
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

impl OutputStream for Log {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES_MAX)
    }
}

impl AsyncWrite for Log {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
