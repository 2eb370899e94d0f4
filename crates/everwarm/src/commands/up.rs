//! `up`: build, serve, watch. An edit is built and takes over in one switch; one that doesn't build
//! leaves the old version serving.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use everwarm_build::{AssetPacker, Project};

use crate::args::UpArgs;
use crate::commands::build::{self, Made};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::session::{Outcome, Outside, Session, check_port};
use crate::settings;
use crate::stop::Stop;
use crate::telemetry;
use crate::watch::Watcher;

mod local;
mod report;

use local::LocalAdmin;
use report::{Event, Ready, Timed};

pub(crate) async fn run(args: UpArgs, printer: &Printer) -> Result<Exit, Failure> {
    telemetry::start_logs(args.log.log.as_deref(), printer)?;
    let folder = settings::app_folder(args.app.folder);
    let project = Project::open(&folder)?;
    let data_dir = settings::data_dir(args.data_dir.data_dir, project.folder());
    let secrets = settings::secrets_of_file(&args.secrets)?;
    // Before the build, which may take a minute.
    check_port(args.listen)?;
    let mut stop = Stop::listen()?;

    let name = project.app().name.to_string();
    report::event(printer, &Event::Building { app: &name });
    // Changes from here on are seen: the watcher runs before the sources are read.
    let watcher = if args.no_watch {
        None
    } else {
        watch(&project, printer).await
    };
    let mut packer = AssetPacker::default();
    let made = tokio::select! {
        biased;
        () = stop.requested() => return Ok(Exit::Interrupted),
        built = build::build(&project, &mut packer, printer) => built?,
    };
    report::built(printer, &made);

    let started = Instant::now();
    let outside = Outside {
        egress: settings::Egress::from(args.egress),
        blobs: settings::Blobs::of_args(&args.blobs)?,
        otlp: settings::Otlp::of_args(&args.otlp)?.config(),
    };
    let listen = Some(args.listen);
    let mut session = Session::start(&data_dir, listen, args.bounds, &outside, printer).await?;
    session.lend_secrets(project.app(), secrets);
    let start_time = started.elapsed();
    let deployed = tokio::select! {
        biased;
        () = stop.requested() => return Ok(Exit::Interrupted),
        deployed = deploy(&mut session, &project, &made, printer) => deployed?,
    };
    let Outcome::Live(deployed) = deployed else {
        return Err(Failure::uncoded(Exit::Node, "the node took no version"));
    };
    let address = session.node().local_addr().unwrap_or(args.listen);
    let mut stages = vec![
        Timed::new("build", made.took),
        Timed::new("start", start_time),
    ];
    stages.extend(report::stages(&deployed));
    let local = LocalAdmin::start(session.node(), &data_dir).await?;
    let ready = Ready::new(project.app(), &deployed, address, stages, watcher.is_some());
    report::ready(printer, &ready);

    let mut app = LiveApp {
        folder,
        project,
        packer,
        session,
        watcher,
        printer,
    };
    app.serve(&mut stop).await;

    report::event(printer, &Event::Draining);
    local.end().await;
    let drained = tokio::select! {
        biased;
        // Whoever asks twice doesn't want to wait.
        () = stop.requested() => return Ok(Exit::Interrupted),
        took = app.session.drain() => took,
    };
    report::stopped(printer, drained);
    Ok(Exit::Success)
}

/// Starts to watch the app. That it can't be watched is no reason not to serve it.
async fn watch(project: &Project, printer: &Printer) -> Option<Watcher> {
    let sources = everwarm_build::sources(project).await;
    match Watcher::start(sources) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            printer.note(&format!(
                "{}: edits won't be noticed, the app's files can't be watched: {error}",
                printer.err("warning").yellow()
            ));
            None
        }
    }
}

async fn deploy(
    session: &mut Session,
    project: &Project,
    made: &Made,
    printer: &Printer,
) -> Result<Outcome, Failure> {
    let _stage = printer.stage("compiling to machine code");
    session.deploy(project.app(), made).await
}

/// An app that is served while it is worked on.
struct LiveApp<'a> {
    /// As it was typed: so messages have it.
    folder: PathBuf,
    project: Project,
    packer: AssetPacker,
    session: Session,
    watcher: Option<Watcher>,
    printer: &'a Printer,
}

impl LiveApp<'_> {
    /// Serves until it is asked to stop.
    async fn serve(&mut self, stop: &mut Stop) {
        let mut came_meanwhile: Option<BTreeSet<PathBuf>> = None;
        loop {
            // Twice in a row no build is given up: one that writes among its sources would never end.
            let may_give_up = came_meanwhile.is_none();
            let paths = match (came_meanwhile.take(), &self.watcher) {
                (Some(paths), _) => paths,
                (None, Some(watcher)) => tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    paths = watcher.changed() => paths,
                },
                (None, None) => return stop.requested().await,
            };
            tokio::select! {
                biased;
                () = stop.requested() => return,
                more = self.update(&paths, may_give_up) => came_meanwhile = more,
            }
        }
    }

    /// Builds what changed and takes it live. If changes come while it is built, the build may be given
    /// up; then they are returned, and the old version goes on serving.
    async fn update(
        &mut self,
        paths: &BTreeSet<PathBuf>,
        may_give_up: bool,
    ) -> Option<BTreeSet<PathBuf>> {
        let noticed = Instant::now();
        report::changed(self.printer, paths, self.project.folder());
        match Project::open(&self.folder) {
            Ok(project) => self.project = project,
            Err(error) => {
                report::failed(self.printer, &error.into());
                return None;
            }
        }
        self.watch_anew(paths).await;
        let built = match &self.watcher {
            Some(watcher) if may_give_up => tokio::select! {
                biased;
                more = watcher.changed() => return Some(more),
                built = build::build(&self.project, &mut self.packer, self.printer) => built,
            },
            _ => build::build(&self.project, &mut self.packer, self.printer).await,
        };
        let deployed = match built {
            Ok(made) => {
                let outcome = deploy(&mut self.session, &self.project, &made, self.printer).await;
                outcome.map(|outcome| (outcome, made.took))
            }
            Err(failure) => Err(failure),
        };
        match deployed {
            Ok((outcome, build_time)) => self.live(&outcome, build_time, noticed.elapsed()),
            Err(failure) => report::failed(self.printer, &failure),
        }
        None
    }

    fn live(&self, outcome: &Outcome, build_time: Duration, took: Duration) {
        match outcome {
            Outcome::Live(deployed) => report::live(self.printer, deployed, build_time, took),
            Outcome::Unchanged => report::unchanged(self.printer),
        }
    }

    /// A new dependency or folder is watched from now on.
    async fn watch_anew(&mut self, paths: &BTreeSet<PathBuf>) {
        let outdated = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.is_outdated_by(paths));
        if outdated && let Some(watcher) = watch(&self.project, self.printer).await {
            self.watcher = Some(watcher);
        }
    }
}
