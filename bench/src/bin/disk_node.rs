//! A node that keeps no code in memory: each function that a request doesn't run in now is on disk only.
//!
//! It is the node that `everwarm up` starts, with the one bound that `up` has no flag for set to its
//! least. The scenario `disk` sends it one request for each function.
//!
//! Usage: `disk_node ADDRESS APP_FOLDER EVERWARM_BINARY`; it serves until it is ended.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use everwarm_manifest::{App, FunctionName, TenantId};
use everwarm_node::operate::Actor;
use everwarm_node::telemetry::{AccessFormat, AccessLogger};
use everwarm_node::{COMPILER_VERB, CompilerCommand, Deploy, Node, NodeConfig, Quotas};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ensure!(
        arguments.len() == 3,
        "usage: disk_node ADDRESS APP_FOLDER EVERWARM_BINARY"
    );
    let address = arguments[0].parse().context("the address is wrong")?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(
            address,
            Path::new(&arguments[1]),
            Path::new(&arguments[2]),
        ))
}

async fn serve(address: SocketAddr, folder: &Path, everwarm: &Path) -> anyhow::Result<()> {
    let (app, components) = read(folder)?;
    let compiler = CompilerCommand {
        program: everwarm.to_owned(),
        args: vec![COMPILER_VERB.into()],
    };
    let log = AccessLogger::start(AccessFormat::Json, Box::new(std::io::stdout()))?;
    let mut config = NodeConfig::for_up(folder.join("data"), compiler, Arc::new(log));
    config.listen = Some(address);
    // Whatever is loaded next pushes out all that was there.
    config.resident_bytes_max = 1;
    let node = Node::start(config).await?;
    let deploy = Deploy::all_to(app, components);
    let tenant = TenantId::default_tenant();
    node.deploy(&tenant, deploy, Quotas::UNBOUNDED, &Actor::node())
        .await?;
    std::future::pending::<()>().await;
    Ok(())
}

fn read(folder: &Path) -> anyhow::Result<(App, Vec<(FunctionName, Bytes)>)> {
    let path = folder.join("everwarm.toml");
    let text = std::fs::read_to_string(&path)?;
    let app = App::parse(&text, "everwarm.toml").map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let components = app
        .functions
        .iter()
        .map(|function| {
            let component: &PathBuf = function
                .component
                .as_ref()
                .with_context(|| format!("`{}` names no component", function.name))?;
            let bytes = std::fs::read(folder.join(component))?;
            Ok((function.name.clone(), Bytes::from(bytes)))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((app, components))
}
