//! `build`: an app's components, without running them. Also how `up` and `invoke` show a build.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use everwarm_build::{AssetPacker, BuildOptions, Component, DatabaseFiles, Event, Packed, Project};
use serde::Serialize;

use crate::args::BuildArgs;
use crate::exit::{Exit, Failure};
use crate::printer::{self, Printer};
use crate::settings;

/// What JSON says about a build.
#[derive(Debug, Serialize)]
struct Built<'a> {
    app: &'a str,
    elapsed_ms: f64,
    components: Vec<BuiltComponent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assets: Option<PackedAssets>,
}

/// What was made of an app.
pub(crate) struct Made {
    pub(crate) components: Vec<Component>,
    pub(crate) assets: Option<Packed>,
    pub(crate) migrations: Vec<DatabaseFiles>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What JSON says about the files of an app.
#[derive(Debug, Serialize)]
pub(crate) struct PackedAssets {
    files: usize,
    bytes: usize,
    sha256: String,
}

impl From<&Packed> for PackedAssets {
    fn from(packed: &Packed) -> Self {
        Self {
            files: packed.files,
            bytes: packed.bytes.len(),
            sha256: packed.digest.hex(),
        }
    }
}

/// What JSON says about one component.
#[derive(Debug, Serialize)]
pub(crate) struct BuiltComponent<'a> {
    function: &'a str,
    path: &'a std::path::Path,
    bytes: usize,
    sha256: String,
    world: Option<&'static str>,
}

impl<'a> From<&'a Component> for BuiltComponent<'a> {
    fn from(component: &'a Component) -> Self {
        Self {
            function: component.function.as_str(),
            path: &component.path,
            bytes: component.bytes.len(),
            sha256: component.digest.hex(),
            world: component.world.map(everwarm_manifest::World::as_str),
        }
    }
}

pub(crate) async fn run(args: BuildArgs, printer: &Printer) -> Result<Exit, Failure> {
    let project = Project::open(&settings::app_folder(args.app.folder))?;
    let made = build(&project, &mut AssetPacker::default(), printer).await?;
    let built = Built {
        app: project.app().name.as_str(),
        elapsed_ms: printer::milliseconds(made.took),
        components: made.components.iter().map(BuiltComponent::from).collect(),
        assets: made.assets.as_ref().map(PackedAssets::from),
    };
    printer.data(&built, || for_people(printer, &made));
    Ok(Exit::Success)
}

fn for_people(printer: &Printer, made: &Made) -> String {
    // Writing to a String can't fail.
    let mut text = String::new();
    for component in &made.components {
        let world = component
            .world
            .map_or("no HTTP handler", |world| world.as_str());
        let _ = write!(
            text,
            "{}  {}, {world}\n  {}\n  sha256:{}\n",
            printer.out(&component.function).bold(),
            printer::size(component.bytes.len()),
            component.path.display(),
            component.digest.hex(),
        );
    }
    if let Some(assets) = &made.assets {
        let _ = write!(
            text,
            "{}  {} files, {}\n  sha256:{}\n",
            printer.out("assets").bold(),
            assets.files,
            printer::size(assets.bytes.len()),
            assets.digest.hex(),
        );
    }
    let _ = writeln!(text, "built in {}", printer::elapsed(made.took));
    text
}

/// Builds the app, packs its files, and shows what goes on: the compiler's own words as they come.
pub(crate) async fn build(
    project: &Project,
    packer: &mut AssetPacker,
    printer: &Printer,
) -> Result<Made, Failure> {
    let started = Instant::now();
    let options = BuildOptions {
        color: printer.output().color_stderr,
    };
    let mut stage = None;
    let mut events = |event| match event {
        Event::InstallingTarget { command } => {
            printer.note(&format!(
                "The Rust target {} is missing: installing it with `{command}`.",
                everwarm_build::WASM_TARGET
            ));
            stage = Some(printer.stage("installing the target"));
        }
        Event::Started { what, world, .. } => {
            let world = world.map_or(String::new(), |world| format!(" for {world}"));
            stage = Some(printer.stage(&format!("building {what}{world}")));
        }
        Event::TargetInstalled | Event::Finished { .. } => stage = None,
        Event::Line(line) => printer.note(&line),
        _ => {}
    };
    let built = everwarm_build::build(project, options, &mut events).await;
    drop(stage);
    let components = built?;
    // After the build, which may make them.
    let assets = {
        let _stage = project
            .app()
            .has_files()
            .then(|| printer.stage("packing assets"));
        packer.pack(project).await?
    };
    let migrations = everwarm_build::migrations(project)
        .map_err(|error| Failure::uncoded(Exit::Build, error.to_string()))?;
    Ok(Made {
        components,
        assets,
        migrations,
        took: started.elapsed(),
    })
}
