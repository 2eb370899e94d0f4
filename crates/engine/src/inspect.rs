//! What a component says of itself, before anything is compiled: is it one, what does it ask for,
//! which HTTP interface does it answer.
//!
//! Owns the refusal of bytes that can't be a function, each with what to do about it. Reads headers
//! and types only: the code of functions is checked by the compiler. Bytes come from outside, so
//! nothing here runs them, keeps them or panics on them. Doesn't know what a node provides.

use std::borrow::Cow;

use everwarm_manifest::{Isolation, World};
use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Parser, Payload, ValidPayload, Validator, WasmFeatures,
};

mod imports;
mod interface;

pub use imports::{MissingImport, check_imports};
pub use interface::Interface;

/// The export that makes a component a WASI 0.2 HTTP function (wasi:http 0.2, world `proxy`).
const HANDLER_02: &str = "wasi:http/incoming-handler@0.2.0";
/// The export that makes a component a WASI 0.3 HTTP function (wasi:http 0.3, world `service`).
const HANDLER_03: &str = "wasi:http/handler@0.3.0";

/// The first bytes of everything in WebAssembly's binary format.
const WASM_MAGIC: &[u8] = b"\0asm";
/// Bytes that the names of a component's imports and exports may have in all.
const NAMES_BYTES_MAX: usize = 32 << 10;
/// Modules and components that one component may nest, and how deep is bounded by it too.
const NESTED_MAX: usize = 10_000;

/// Bounds on what is inspected.
#[derive(Debug, Clone, Copy)]
pub struct InspectLimits {
    /// The largest component, in bytes.
    pub component_bytes_max: u64,
}

impl Default for InspectLimits {
    /// 64 MiB: a JavaScript engine in a component is 13 MB.
    fn default() -> Self {
        Self {
            component_bytes_max: 64 << 20,
        }
    }
}

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentFacts {
    /// The component's size, in bytes.
    pub bytes: u64,
    /// What it asks its host for: the names of instances, with versions, in the component's order.
    pub imports: Vec<String>,
    /// What it offers, likewise.
    pub exports: Vec<String>,
    handlers: Handlers,
}

/// Which HTTP interfaces a component exports: at least one, or there are no facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Handlers {
    Only(World),
    Both,
}

impl ComponentFacts {
    /// Whether the component can be served in this world.
    pub fn offers(&self, world: World) -> bool {
        match self.handlers {
            Handlers::Only(only) => only == world,
            Handlers::Both => true,
        }
    }

    /// The world to serve the component in. One that exports both interfaces is served as 0.2,
    /// where a fresh instance is cheaper, unless its isolation or the manifest needs 0.3.
    ///
    /// # Errors
    ///
    /// [`WorldError`] when the component lacks the interface that the manifest needs.
    pub fn world_for(
        &self,
        forced: Option<World>,
        isolation: Isolation,
    ) -> Result<World, WorldError> {
        if matches!(isolation, Isolation::Concurrent) {
            if !self.offers(World::Wasi03) || forced == Some(World::Wasi02) {
                return Err(WorldError::ConcurrentNeeds03);
            }
            return Ok(World::Wasi03);
        }
        match (forced, self.handlers) {
            (Some(world), _) if !self.offers(world) => Err(WorldError::NotOffered {
                forced: world,
                handler: handler_of(world),
            }),
            (Some(world), _) | (None, Handlers::Only(world)) => Ok(world),
            (None, Handlers::Both) => Ok(World::Wasi02),
        }
    }
}

fn handler_of(world: World) -> &'static str {
    match world {
        World::Wasi02 => HANDLER_02,
        World::Wasi03 => HANDLER_03,
    }
}

/// Why a component can't be served as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// `isolation = "concurrent"` with a component that has no 0.3 handler.
    #[error(
        "isolation `concurrent` needs a WASI 0.3 component (one that exports {HANDLER_03}): \
         remove `world = \"wasi-0.2\"` and build it again, or use `serial` or `request`"
    )]
    ConcurrentNeeds03,
    /// The manifest forces a world that the component isn't made for.
    #[error(
        "the manifest forces world {forced:?} and the component doesn't export {handler}: \
         remove `world` from the manifest, or build the component for it"
    )]
    NotOffered {
        /// The world that was asked for.
        forced: World,
        /// The export it takes.
        handler: &'static str,
    },
}

impl WorldError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConcurrentNeeds03 => "EW2008",
            Self::NotOffered { .. } => "EW2007",
        }
    }
}

/// Why bytes aren't the component of an HTTP function.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum InspectError {
    /// The bytes are something else.
    #[error("this isn't a WebAssembly component but {looks_like}")]
    NotWasm {
        /// What the first bytes look like, and what to do then.
        looks_like: Cow<'static, str>,
    },
    /// A core module.
    #[error(
        "this is a core WebAssembly module, and a component is needed: build with \
         `--target wasm32-wasip2`, or make a component of it with \
         `wasm-tools component new module.wasm -o component.wasm` \
         (add `--adapt wasi_snapshot_preview1.reactor.wasm` when it uses WASI preview 1)"
    )]
    CoreModule,
    /// More bytes than the node takes.
    #[error(
        "the component has {bytes} bytes and the limit is {bytes_max}: build it with \
         `opt-level = \"s\"`, `lto = true` and `strip = true`, or raise the node's limit"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is taken.
        bytes_max: u64,
    },
    /// The bytes start like a component and aren't one.
    #[error(
        "the component is invalid at byte {offset:#x}: {reason}: build it again with current tools"
    )]
    Invalid {
        /// Where, from the start of the bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// No HTTP interface.
    #[error(
        "the component answers no HTTP requests: it exports neither {HANDLER_02} (or a later 0.2) \
         nor {HANDLER_03} (or a later 0.3){}", .nearest.as_ref().map(|export| format!(
            ", but {export}, which is a version that this binary doesn't serve: build it again with \
             current tools")).unwrap_or_default()
    )]
    NoHandler {
        /// An export that is nearly one.
        nearest: Option<String>,
    },
}

impl InspectError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotWasm { .. } => "EW2001",
            Self::CoreModule => "EW2002",
            Self::TooLarge { .. } => "EW2004",
            Self::Invalid { .. } => "EW2006",
            Self::NoHandler { .. } => "EW2007",
        }
    }

    fn invalid(error: &wasmparser::BinaryReaderError) -> Self {
        Self::Invalid {
            offset: error.offset() as u64,
            reason: error.message().to_owned(),
        }
    }
}

/// Reads what a component says of itself.
///
/// # Errors
///
/// [`InspectError`]: the bytes are no component, too many, invalid, or answer no HTTP.
pub fn inspect(bytes: &[u8], limits: InspectLimits) -> Result<ComponentFacts, InspectError> {
    let len = bytes.len() as u64;
    if len > limits.component_bytes_max {
        return Err(InspectError::TooLarge {
            bytes: len,
            bytes_max: limits.component_bytes_max,
        });
    }
    if !bytes.starts_with(WASM_MAGIC) {
        return Err(InspectError::NotWasm {
            looks_like: looks_like(bytes).into(),
        });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(InspectError::CoreModule);
    }
    let (imports, exports) = read_types(bytes)?;
    let handlers = handlers(&exports)?;
    Ok(ComponentFacts {
        bytes: len,
        imports,
        exports,
        handlers,
    })
}

/// What bytes that aren't Wasm seem to be, in words that help.
fn looks_like(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    match bytes {
        [] => "an empty file: build it again",
        [0x7f, b'E', b'L', b'F', ..] => {
            "machine code (ELF): give the `.wasm` file, everwarm compiles it itself"
        }
        [b'M', b'Z', ..] | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => {
            "a native program: build with `--target wasm32-wasip2`"
        }
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'P', b'K', 3, 4, ..] => {
            "a compressed file: unpack it first"
        }
        _ if text.starts_with(b"(component") || text.starts_with(b"(module") => {
            "WebAssembly text: make a binary of it with `wasm-tools parse`"
        }
        _ => {
            "something else: its first bytes aren't `\\0asm`; give the `.wasm` file that the build wrote"
        }
    }
}

/// Validates the component's structure and reads the names of its imports and exports.
fn read_types(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), InspectError> {
    let invalid = |error| InspectError::invalid(&error);
    let mut validator = Validator::new_with_features(features());
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let (mut depth, mut nested) = (0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Parser(_) => {
                depth += 1;
                nested += 1;
            }
            ValidPayload::End(_) => depth = depth.saturating_sub(1),
            // The compiler checks functions.
            ValidPayload::Ok | ValidPayload::Func(..) => {}
        }
        if nested > NESTED_MAX {
            return Err(InspectError::Invalid {
                offset: 0,
                reason: format!("it nests more than {NESTED_MAX} modules"),
            });
        }
        match payload {
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(invalid)?;
                    // Imported types and resources come with the instances that they are of.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    if matches!(export.kind, ComponentExternalKind::Instance) {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    let bytes: usize = imports.iter().chain(&exports).map(String::len).sum();
    if bytes > NAMES_BYTES_MAX {
        return Err(InspectError::Invalid {
            offset: 0,
            reason: format!(
                "the names of its imports and exports have more than {NAMES_BYTES_MAX} bytes"
            ),
        });
    }
    Ok((imports, exports))
}

/// More than any engine here runs: what an engine doesn't run, its compiler refuses with a reason.
fn features() -> WasmFeatures {
    WasmFeatures::default() | WasmFeatures::CM_ASYNC | WasmFeatures::CM_ASYNC_STACKFUL
}

fn handlers(exports: &[String]) -> Result<Handlers, InspectError> {
    let exported: Vec<Interface<'_>> = exports.iter().map(|name| Interface::parse(name)).collect();
    let offers = |handler: &str| {
        let handler = Interface::parse(handler);
        exported.iter().any(|export| export.is_served_by(&handler))
    };
    match (offers(HANDLER_02), offers(HANDLER_03)) {
        (true, true) => Ok(Handlers::Both),
        (true, false) => Ok(Handlers::Only(World::Wasi02)),
        (false, true) => Ok(Handlers::Only(World::Wasi03)),
        (false, false) => {
            let nearest = exported.iter().find(|export| {
                [HANDLER_02, HANDLER_03]
                    .iter()
                    .any(|handler| Interface::parse(handler).path == export.path)
            });
            Err(InspectError::NoHandler {
                nearest: nearest.map(|export| export.name.to_owned()),
            })
        }
    }
}

#[cfg(test)]
mod tests;
