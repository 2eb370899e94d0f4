//! Native hyper, built in this crate: the baseline of every pair. A hello, and a proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::Server;
use crate::settings::Settings;

/// `native_hyper` of this crate.
#[derive(Debug)]
pub(crate) struct Native;

impl Server for Native {
    fn name(&self) -> String {
        "native hyper".to_owned()
    }

    fn missing(&self, settings: &Settings) -> Option<String> {
        let program = settings.programs.join("native_hyper");
        (!program.is_file())
            .then(|| "it is not built: run the bench by `cargo xtask bench`".to_owned())
    }

    fn command(
        &self,
        settings: &Settings,
        _folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(settings.programs.join("native_hyper"));
        command.arg(address.to_string());
        Ok(command)
    }
}

/// `native_proxy` of this crate: it answers what `upstream` answers.
#[derive(Debug)]
pub(crate) struct NativeProxy {
    pub(crate) upstream: SocketAddr,
}

impl Server for NativeProxy {
    fn name(&self) -> String {
        "native hyper proxy".to_owned()
    }

    fn missing(&self, settings: &Settings) -> Option<String> {
        let program = settings.programs.join("native_proxy");
        (!program.is_file())
            .then(|| "it is not built: run the bench by `cargo xtask bench`".to_owned())
    }

    fn command(
        &self,
        settings: &Settings,
        _folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(settings.programs.join("native_proxy"));
        command.arg(address.to_string());
        command.arg(format!("http://{}/", self.upstream));
        Ok(command)
    }
}
