//! A component's file: reads it, hashes it, and says which world it is for. Whether it is valid, and
//! may run, is the engine's to say.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_manifest::{ByteSize, Digest, FunctionName, World};
use sha2::{Digest as _, Sha256};
use wasmparser::{Parser, Payload};

/// The largest file that is read at all; a node may allow less.
pub const COMPONENT_BYTES_MAX: ByteSize = ByteSize::mib(512);
/// The interface of WASI 0.2 that answers requests, before its patch version.
const HANDLER_02: &str = "wasi:http/incoming-handler@0.2.";
/// The same of WASI 0.3.
const HANDLER_03: &str = "wasi:http/handler@0.3.";

/// The component of one function.
#[derive(Debug, Clone)]
pub struct Component {
    /// The function.
    pub function: FunctionName,
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Bytes,
    /// The sha256 of `bytes`.
    pub digest: Digest,
    /// The world whose handler it exports. `None`: neither, so that no node will take it.
    pub world: Option<World>,
}

/// Why a function has no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// There is no such file.
    #[error(
        "function `{function}`: there is no component at {}: {hint}",
        path.display()
    )]
    NotFound {
        /// The function.
        function: FunctionName,
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The file can't be read.
    #[error("function `{function}`: couldn't read the component {}: {source}", path.display())]
    Unreadable {
        /// The function.
        function: FunctionName,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is too large.
    #[error(
        "function `{function}`: {} has {size}, and {COMPONENT_BYTES_MAX} is the most",
        path.display()
    )]
    TooLarge {
        /// The function.
        function: FunctionName,
        /// The file.
        path: PathBuf,
        /// Its size.
        size: ByteSize,
    },
}

impl ComponentError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Unreadable { .. } => "EW2011",
            Self::TooLarge { .. } => "EW2004",
        }
    }
}

impl Component {
    /// Reads the component of `function` from `path`. `hint` says what to do when it isn't there.
    pub(crate) async fn read(
        function: &FunctionName,
        path: &Path,
        hint: &'static str,
    ) -> Result<Self, ComponentError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ComponentError::NotFound {
                function: function.clone(),
                path: path.to_owned(),
                hint,
            },
            _ => ComponentError::Unreadable {
                function: function.clone(),
                path: path.to_owned(),
                source,
            },
        };
        let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
        let size = ByteSize::new(size);
        if size > COMPONENT_BYTES_MAX {
            return Err(ComponentError::TooLarge {
                function: function.clone(),
                path: path.to_owned(),
                size,
            });
        }
        let bytes = Bytes::from(tokio::fs::read(path).await.map_err(failed)?);
        Ok(Self {
            function: function.clone(),
            path: path.to_owned(),
            digest: Digest::from_bytes(Sha256::digest(&bytes).into()),
            world: world(&bytes),
            bytes,
        })
    }

    /// The same component for another function.
    pub(crate) fn shared_with(&self, function: &FunctionName) -> Self {
        Self {
            function: function.clone(),
            ..self.clone()
        }
    }
}

/// The world whose HTTP handler the component exports.
fn world(bytes: &[u8]) -> Option<World> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let name = export.ok()?.name.name;
                    if name.starts_with(HANDLER_02) {
                        return Some(World::Wasi02);
                    }
                    if name.starts_with(HANDLER_03) {
                        return Some(World::Wasi03);
                    }
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exporting(interface: &str) -> Vec<u8> {
        wat::parse_str(format!(
            "(component (component $inner) (instance $it (instantiate $inner)) (export \"{interface}\" (instance $it)))"
        ))
        .unwrap()
    }

    #[test]
    fn exported_handler_decides_the_world() {
        let of = |interface: &str| world(&exporting(interface));
        assert_eq!(of("wasi:http/incoming-handler@0.2.3"), Some(World::Wasi02));
        assert_eq!(of("wasi:http/handler@0.3.0"), Some(World::Wasi03));
        assert_eq!(of("wasi:cli/run@0.2.3"), None);
    }

    #[test]
    fn bytes_that_are_no_component_have_no_world() {
        assert_eq!(world(b"#!/bin/sh"), None);
        assert_eq!(world(&wat::parse_str("(module)").unwrap()), None);
    }

    #[tokio::test]
    async fn missing_component_says_what_to_do() {
        let function = FunctionName::new("api").unwrap();
        let error = Component::read(&function, Path::new("no/such.wasm"), "build it first")
            .await
            .unwrap_err();
        assert_eq!(error.code(), "EW2011");
        assert_eq!(
            error.to_string(),
            "function `api`: there is no component at no/such.wasm: build it first"
        );
    }
}
