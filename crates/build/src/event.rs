//! What a build tells its caller while it runs. Doesn't know how it is shown.

use std::path::PathBuf;

use everwarm_manifest::World;

/// A step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The Wasm target is missing, and rustup is asked to install it.
    InstallingTarget {
        /// The command that runs.
        command: String,
    },
    /// The Wasm target is installed.
    TargetInstalled,
    /// A program starts: cargo, or the manifest's own command.
    Started {
        /// What is built: a package, or the app.
        what: String,
        /// The world that it is built for. `None`: the program decides.
        world: Option<World>,
        /// The command as one could type it.
        command: String,
    },
    /// A line that the program wrote for people: progress, warnings, errors. It may have colours.
    Line(String),
    /// A program ended well.
    Finished {
        /// The components that it left.
        components: Vec<PathBuf>,
    },
}
