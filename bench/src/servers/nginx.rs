//! nginx, as it serves files at its best: a worker a core, files kept open, `sendfile`, no access log.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Server, tells_its_version};
use crate::settings::Settings;

/// Serves the files of `public`, which is in the folder that it is started in.
#[derive(Debug)]
pub(crate) struct Nginx;

/// Where its files are.
pub(crate) const FILES: &str = "public";

/// Where Debian has it, which may not be on a user's PATH.
const SYSTEM_PROGRAM: &str = "/usr/sbin/nginx";

/// What it is started as: the one on the PATH, if there is one.
fn program() -> &'static str {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&folders);
    if !folders.any(|folder| folder.join("nginx").is_file()) && Path::new(SYSTEM_PROGRAM).is_file()
    {
        return SYSTEM_PROGRAM;
    }
    "nginx"
}

/// How it is asked for its version.
pub(super) fn versioned() -> Command {
    let mut command = Command::new(program());
    command.arg("-v");
    command
}

impl Server for Nginx {
    fn name(&self) -> String {
        "nginx".to_owned()
    }

    fn missing(&self, _settings: &Settings) -> Option<String> {
        let is_there = tells_its_version(versioned());
        (!is_there).then(|| {
            format!("there is no nginx, nor {SYSTEM_PROGRAM}: `apt-get install nginx` on Debian")
        })
    }

    fn command(
        &self,
        _settings: &Settings,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let root = folder.join(FILES);
        let mut text = String::from(
            "worker_processes auto;\ndaemon off;\npid nginx.pid;\nerror_log stderr;\n\
             events { worker_connections 1024; }\nhttp {\n\
             default_type text/plain;\naccess_log off;\nsendfile on;\ntcp_nopush on;\n\
             keepalive_requests 1000000000;\nopen_file_cache max=1000;\n",
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{kind}_temp_path {kind};");
        }
        let _ = writeln!(
            text,
            "server {{ listen {address} reuseport; root {}; }}\n}}",
            root.display()
        );
        // As root it would serve as somebody who can't read the folder.
        if rustix::process::geteuid().is_root() {
            text.insert_str(0, "user root;\n");
        }
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text)?;
        let mut command = Command::new(program());
        command.arg("-p").arg(folder).arg("-c").arg(file);
        Ok(command)
    }
}
