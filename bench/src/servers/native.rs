//! Native hyper, built in this crate: the baseline of every pair. A hello, one that writes to the disk first, and a proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

/// As [`Native`], but `GET /set` is answered once a page of `file` is written over and synced.
#[derive(Debug)]
pub(crate) struct NativeWriter {
    pub(crate) file: PathBuf,
}

impl Server for NativeWriter {
    fn name(&self) -> String {
        "native hyper that writes".to_owned()
    }

    fn missing(&self, settings: &Settings) -> Option<String> {
        Native.missing(settings)
    }

    fn command(
        &self,
        settings: &Settings,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let mut command = Native.command(settings, folder, address)?;
        command.arg("--write").arg(&self.file);
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
