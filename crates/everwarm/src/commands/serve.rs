//! `serve`: a node that others deploy to.

use std::sync::Arc;

use everwarm_node::admin::{self, make_first_token};
use everwarm_node::{CompilerCommand, Domain, Listener, Node, NodeConfig};
use serde_json::json;
use tokio::sync::watch;

use crate::args::ServeArgs;
use crate::exit::{Exit, Failure, told};
use crate::printer::Printer;
use crate::session::{DRAIN_TIME_MAX, check_port};
use crate::settings::{self, Serve};
use crate::stop::Stop;
use crate::telemetry;

pub(crate) async fn run(args: ServeArgs, printer: &Printer) -> Result<Exit, Failure> {
    let serve = Serve::resolve(&args)?;
    if args.check {
        show(&serve, printer);
        return Ok(Exit::Success);
    }
    telemetry::start_logs(serve.log.as_deref(), printer)?;
    check_port(serve.listen)?;
    check_port(serve.admin)?;
    if !serve.admin.ip().is_loopback() {
        return Err(Failure::uncoded(
            Exit::Usage,
            format!(
                "the admin API at {} would send tokens in the clear: serve it on a loopback address, and reach it \
                 through a tunnel or a proxy with TLS",
                serve.admin
            ),
        ));
    }
    let mut stop = Stop::listen()?;
    let node = Arc::new(start(&serve, printer).await?);
    let chores = tokio::spawn({
        let node = Arc::clone(&node);
        // Neither ends by itself.
        async move { tokio::join!(node.keep_books(), node.keep_clean()) }
    });
    let token_file = make_first_token(&node)
        .await
        .map_err(|error| Failure::new(Exit::Node, error.code(), told(&error)))?;
    let listener = Listener::bind(serve.admin)
        .await
        .map_err(|error| Failure::new(Exit::Node, error.code(), told(&error)))?;
    let (listen, admin_address) = (
        node.local_addr().unwrap_or(serve.listen),
        listener.address(),
    );
    let (end_admin, ended) = watch::channel(false);
    let admin = tokio::spawn(admin::serve(listener, Arc::clone(&node), ended));

    let getting_ready = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.get_ready().await }
    });
    printer.event(&json!({
        "event": "ready",
        "listen": listen,
        "admin": admin_address,
        "base_domain": serve.base_domain.as_str(),
        "data_dir": serve.data_dir,
        "token_file": token_file,
    }));
    printer.say(&format!(
        "serving on http://{listen}, apps at <app>.{}",
        serve.base_domain
    ));
    printer.say(&format!("admin API on http://{admin_address}"));
    if let Some(file) = &token_file {
        printer.say(&format!(
            "the first token is in {0}: everwarm login http://{admin_address} --token-file {0}",
            file.display()
        ));
    }

    stop.requested().await;
    printer.event(&json!({"event": "draining"}));
    printer.say("draining: requests in flight finish, new ones are refused");
    end_admin.send_replace(true);
    let drained = async {
        node.drain(DRAIN_TIME_MAX).await;
        // It ends when its last request has; a panic in it was logged.
        let _ = admin.await;
    };
    tokio::select! {
        biased;
        // Whoever asks twice doesn't want to wait.
        () = stop.requested() => return Ok(Exit::Interrupted),
        () = drained => {}
    }
    getting_ready.abort();
    chores.abort();
    printer.event(&json!({"event": "stopped"}));
    Ok(Exit::Success)
}

async fn start(serve: &Serve, printer: &Printer) -> Result<Node, Failure> {
    let compiler = CompilerCommand::this_program().map_err(|error| {
        let message = format!("couldn't find this program for compiling: {error}");
        Failure::uncoded(Exit::Failure, message)
    })?;
    let access_log = telemetry::access_log(printer)?;
    let domain = Domain::below(serve.base_domain.clone(), false, serve.listen.port());
    let mut config = NodeConfig::for_serve(serve.data_dir.clone(), domain, compiler, access_log);
    config.listen = Some(serve.listen);
    config.trusted_proxies = serve.clients.trusted_proxies.clone();
    config.ingress = serve.clients.limits;
    settings::set_bounds(&mut config, serve.bounds());
    if let Some(versions) = serve.versions_max {
        config.versions_max = versions.get();
    }
    Ok(Node::start(config).await?)
}

/// What is in force, in the form of a settings file.
fn show(serve: &Serve, printer: &Printer) {
    printer.data(serve, || {
        toml::to_string(serve)
            .unwrap_or_else(|error| format!("# can't be written as TOML: {error}\n"))
    });
}
