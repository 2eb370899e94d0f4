//! `serve`: a node that others deploy to. From its sockets to its last request; who goes on after it is
//! `serve::successor`'s.

mod sources;
mod successor;
mod supervisor;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use everwarm_node::admin::{AdminTls, make_first_token};
use everwarm_node::handover::{Heir, Post, Predecessor};
use everwarm_node::machine::Machine;
use everwarm_node::sockets::Sockets;
use everwarm_node::{
    AcmeConfig, Bound, CompilerCommand, Domain, Ending, Listener, Node, NodeConfig, Source,
    TlsConfig,
};
use serde_json::json;
use tokio::task::JoinHandle;

use super::admin::Admin;
use crate::args::ServeArgs;
use crate::doctor;
use crate::exit::{Exit, Failure, told};
use crate::printer::Printer;
use crate::session::DRAIN_TIME_MAX;
use crate::settings::{self, Serve};
use crate::stop::Stop;
use crate::telemetry;
use sources::Sources;
use supervisor::{NotifyState, Supervisor};

/// How long connections may wait in an inherited socket for machine code to be made. Nobody else answers them.
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long requests of the admin API may go on when another process takes over.
const ADMIN_TIME_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn run(
    args: Box<ServeArgs>,
    inherited: Sockets,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let serve = Serve::resolve(&args)?;
    if args.check {
        show(&serve, printer);
        return Ok(Exit::Success);
    }
    telemetry::start_logs(serve.log.as_deref(), printer)?;
    Machine::raise_files();
    for check in doctor::limits(Machine::read()) {
        if let Some(fix) = &check.fix {
            tracing::warn!(
                limit = check.name,
                found = check.found,
                fix,
                "the machine allows less than a busy node may need"
            );
        }
    }
    let mut stop = Stop::listen()?;
    let sources = Sources::gather(&serve, inherited).await?;
    let mut serving = Serving::start(&serve, sources, printer).await?;
    let heir = if serving.open(&mut stop).await {
        serving.wait_for_the_end(&mut stop).await
    } else {
        None
    };
    serving.end(&mut stop, heir).await
}

/// How the admin API speaks TLS, if it does.
fn admin_tls(serve: &Serve) -> Result<Option<AdminTls>, Failure> {
    let tls = &serve.tls;
    let (Some(certificate), Some(key)) = (&tls.admin_certificate, &tls.admin_key) else {
        return Ok(None);
    };
    let opened = AdminTls::open(Source::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
    });
    let opened = opened.map_err(|error| Failure::new(Exit::Node, error.code(), told(&error)))?;
    Ok(Some(opened))
}

/// A node with all that goes on beside it.
struct Serving<'p> {
    node: Arc<Node>,
    /// The same sockets once more: for the process that goes on after this one.
    sockets: Sockets,
    /// The sockets came from a service manager, which keeps them open.
    activated: bool,
    predecessor: Option<Predecessor>,
    /// Takes in what the last requests of the process before used, until that ends.
    last_usage: Option<JoinHandle<()>>,
    post: Option<Post>,
    admin: Admin,
    chores: JoinHandle<()>,
    getting_ready: JoinHandle<()>,
    watchdog: Option<JoinHandle<()>>,
    supervisor: Supervisor,
    ready: serde_json::Value,
    token_file: Option<PathBuf>,
    serve: Serve,
    printer: &'p Printer,
}

fn chores(node: &Arc<Node>) -> JoinHandle<()> {
    let node = Arc::clone(node);
    // The first two don't end by themselves.
    tokio::spawn(async move {
        tokio::join!(
            node.keep_books(),
            node.keep_clean(),
            node.keep_sealed(),
            node.keep_exporting()
        );
    })
}

fn node_failure(code: &'static str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Node, code, told(error))
}

impl<'p> Serving<'p> {
    async fn start(serve: &Serve, sources: Sources, printer: &'p Printer) -> Result<Self, Failure> {
        let Sources {
            http,
            https,
            admin,
            shared,
            mut predecessor,
            activated,
        } = sources;
        let admin_tls = admin_tls(serve)?;
        let scheme = if admin_tls.is_some() { "https" } else { "http" };
        let ready = json!({
            "event": "ready",
            "listen": http.address(),
            "tls_listen": https.as_ref().map(Listener::address),
            "admin": admin.address(),
            "admin_url": format!("{scheme}://{}", admin.address()),
            "base_domain": serve.base_domain.as_str(),
            "data_dir": serve.data_dir,
        });
        let bound = Bound {
            plain: Some(http),
            tls: https,
        };
        let node = start(serve, bound, predecessor.as_mut(), printer).await?;
        let node = Arc::new(node);
        let chores = chores(&node);
        let token_file = make_first_token(&node)
            .await
            .map_err(|error| node_failure(error.code(), &error))?;
        let admin = Admin::start(admin, admin_tls, &node);
        let getting_ready = tokio::spawn({
            let node = Arc::clone(&node);
            async move { node.get_ready().await }
        });
        Ok(Self {
            sockets: shared,
            activated,
            predecessor,
            last_usage: None,
            post: None,
            admin,
            chores,
            getting_ready,
            watchdog: None,
            supervisor: Supervisor::of_process(),
            ready,
            token_file,
            serve: serve.clone(),
            node,
            printer,
        })
    }

    /// Accepts connections, when there is code for what they ask or nobody else answers them. Says whether it came to
    /// that: it doesn't when somebody asks for the end before.
    async fn open(&mut self, stop: &mut Stop) -> bool {
        self.watchdog = self.supervisor.watch(&self.node);
        self.supervisor.say(&[NotifyState::Status(
            "making the machine code that is missing",
        )]);
        let wait = match (&self.predecessor, self.activated) {
            // It goes on serving meanwhile.
            (Some(_), _) => Duration::MAX,
            (None, true) => ACCEPT_WAIT_MAX,
            (None, false) => Duration::ZERO,
        };
        tokio::select! {
            biased;
            () = stop.requested() => return false,
            _ = tokio::time::timeout(wait, &mut self.getting_ready) => {}
        }
        self.node.accept();
        if let Some(mut predecessor) = self.predecessor.take() {
            // One that is gone has no more requests either.
            if predecessor.say_ready().await.is_ok() {
                let last = successor::take_last_usage(Arc::clone(&self.node), predecessor);
                self.last_usage = Some(tokio::spawn(last));
            }
        }
        self.post = match Post::open(&self.serve.data_dir) {
            Ok(post) => Some(post),
            Err(error) => {
                tracing::warn!(%error, "no other process can take over while this one serves");
                None
            }
        };
        self.announce();
        true
    }

    fn announce(&self) {
        let printer = self.printer;
        let mut ready = self.ready.clone();
        ready["token_file"] = json!(self.token_file);
        printer.event(&ready);
        let text = |key: &str| ready[key].as_str().unwrap_or_default();
        printer.say(&format!(
            "serving on http://{}, apps at <app>.{}",
            text("listen"),
            text("base_domain")
        ));
        if let Some(listen) = ready["tls_listen"].as_str() {
            printer.say(&format!("serving on https://{listen}"));
        }
        let admin = text("admin_url");
        printer.say(&format!("admin API on {admin}"));
        if let Some(file) = &self.token_file {
            printer.say(&format!(
                "the first token is in {0}: everwarm login {admin} --token-file {0}",
                file.display()
            ));
        }
    }

    /// Serves until somebody asks for the end, or another process has taken over.
    async fn wait_for_the_end(&mut self, stop: &mut Stop) -> Option<Heir> {
        let mut is_ready = self.getting_ready.is_finished();
        loop {
            if is_ready {
                let listen = self.ready["listen"].as_str().unwrap_or_default();
                self.supervisor.say_ready(&format!("serving on {listen}"));
            }
            let post = self.post.as_ref();
            let asked = async {
                match post {
                    Some(post) => post.asked().await,
                    None => std::future::pending().await,
                }
            };
            let heir = tokio::select! {
                biased;
                () = stop.requested() => return None,
                _ = &mut self.getting_ready, if !is_ready => {
                    is_ready = true;
                    continue;
                }
                heir = asked => heir,
            };
            tokio::select! {
                biased;
                () = stop.requested() => return None,
                succeeded = self.hand_over(heir) => if let Some(heir) = succeeded {
                    return Some(heir);
                }
            }
        }
    }

    /// Lets what goes on end.
    async fn end(mut self, stop: &mut Stop, heir: Option<Heir>) -> Result<Exit, Failure> {
        let printer = self.printer;
        // Held by a service manager, the socket keeps what waits in it for the next process.
        let ending = if heir.is_some() || self.activated {
            Ending::HandedOver
        } else {
            Ending::Stopped
        };
        self.supervisor
            .say(&[NotifyState::Stopping, NotifyState::Status("draining")]);
        printer.event(&json!({"event": "draining"}));
        printer.say("draining: requests in flight finish, new ones are refused");
        // Whoever comes is refused at once, or is the next process's.
        self.sockets.clear();
        self.chores.abort();
        let limit = self
            .serve
            .drain_max
            .map_or(DRAIN_TIME_MAX, everwarm_manifest::Millis::duration);
        let last_usage = self.last_usage.take();
        let drained = async {
            tokio::join!(self.admin.end(limit), self.node.drain(limit, ending));
            // The process before has drained for no longer than this one; what it used is stored with the rest.
            if let Some(mut last_usage) = last_usage
                && tokio::time::timeout(limit, &mut last_usage).await.is_err()
            {
                last_usage.abort();
            }
            match heir {
                Some(heir) => {
                    let left = heir.leave(self.node.last_usage()).await;
                    if let Err(error) = left {
                        tracing::error!(%error, "what the last requests used is lost");
                    }
                }
                None => self.node.close_books().await,
            }
            self.node.finish_telemetry().await;
        };
        tokio::select! {
            biased;
            // Whoever asks twice doesn't want to wait.
            () = stop.requested() => return Ok(Exit::Interrupted),
            () = drained => {}
        }
        self.getting_ready.abort();
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
        printer.event(&json!({"event": "stopped"}));
        Ok(Exit::Success)
    }
}

async fn start(
    serve: &Serve,
    bound: Bound,
    predecessor: Option<&mut Predecessor>,
    printer: &Printer,
) -> Result<Node, Failure> {
    let compiler = CompilerCommand::this_program().map_err(|error| {
        let message = format!("couldn't find this program for compiling: {error}");
        Failure::uncoded(Exit::Failure, message)
    })?;
    let access_log = telemetry::access_log(printer)?;
    let tls = &serve.tls;
    let main = bound.tls.as_ref().or(bound.plain.as_ref());
    let port = main.map_or(serve.listen.port(), |main| main.address().port());
    let domain = Domain::below(serve.base_domain.clone(), bound.tls.is_some(), port);
    let lines = Arc::clone(&access_log) as _;
    let mut config = NodeConfig::for_serve(serve.data_dir.clone(), domain, compiler, lines);
    config.tls = tls.tls_listen.map(|listen| TlsConfig {
        listen,
        certificates: tls.tls_certificates.clone(),
        https_only: tls.https_only,
        acme: tls.acme.as_ref().map(|acme| AcmeConfig {
            directory: acme.acme_directory.clone(),
            contact: acme.acme_contact.clone(),
            root: acme.acme_root.clone(),
        }),
    });
    // What is written is kept for a while, for those who ask by the admin API.
    access_log.keep_in(Arc::clone(&config.logs));
    config.trusted_proxies = serve.clients.trusted_proxies.clone();
    config.ingress = serve.clients.limits;
    config.egress = serve.egress.config();
    config.otlp = serve.otlp.config();
    config.blobs_s3 = serve.blobs.config();
    config.secrets_key = Some(settings::secrets_key(serve.secrets_key_file.as_deref()));
    settings::set_bounds(&mut config, serve.bounds());
    if let Some(time) = serve.compile_time_max {
        config.compile_limits = config.compile_limits.within(time);
    }
    if let Some(memory) = serve.compile_memory_max {
        config.compile_limits.memory_bytes_max = memory.as_u64();
    }
    if let Some(versions) = serve.versions_max {
        config.versions_max = versions.get();
    }
    Ok(Node::start_on(config, bound, predecessor).await?)
}

/// What is in force, in the form of a settings file.
fn show(serve: &Serve, printer: &Printer) {
    printer.data(serve, || {
        toml::to_string(serve)
            .unwrap_or_else(|error| format!("# can't be written as TOML: {error}\n"))
    });
}
