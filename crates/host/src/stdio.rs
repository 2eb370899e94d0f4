//! Standard streams: what a guest prints becomes log events of its function; its input is empty.
//!
//! Owns the cutting into lines. How many may be said, and where they go, is `output`'s.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use everwarm_engine::Sandbox;
use everwarm_engine::capability::{
    Capability, ConfigureError, CurrentRequest, Instance as Prepared, State,
};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::output::{LINE_BYTES_MAX, Output, SaidBy, Voice};

/// See the module's documentation.
pub struct Stdio {
    output: Arc<Output>,
}

impl Stdio {
    /// Lines go where `output` has them go.
    pub(crate) fn new(output: Arc<Output>) -> Self {
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

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        Ok(Arc::new(Prints(self.output.voice(function))))
    }

    fn prepare(&self, state: &State, instance: &mut Prepared<'_>) {
        let Some(Prints(voice)) = state.downcast_ref() else {
            return;
        };
        let log = |way| Log::new(way, voice, instance.request);
        let (stdout, stderr) = (log(SaidBy::Stdout), log(SaidBy::Stderr));
        instance.wasi.stdout(stdout);
        instance.wasi.stderr(stderr);
    }
}

/// What one function prints.
struct Prints(Arc<Voice>);

/// One standard stream of one instance.
#[derive(Clone)]
struct Log(Arc<Mutex<Lines>>);

struct Lines {
    way: SaidBy<'static>,
    voice: Arc<Voice>,
    request: CurrentRequest,
    line: Vec<u8>,
}

impl Log {
    fn new(way: SaidBy<'static>, voice: &Arc<Voice>, request: &CurrentRequest) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            way,
            voice: Arc::clone(voice),
            request: request.clone(),
            line: Vec::new(),
        })))
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                if self.line.len() + part.len() > LINE_BYTES_MAX {
                    self.emit();
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.emit();
            }
        }
    }

    fn emit(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        self.voice.say(self.way, self.request.get(), &line);
        self.line.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.emit();
        }
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
