//! The node that is asked and the token for it: kept by `login` in a file of the user's alone.
//!
//! A token is never an argument: arguments are seen by everybody on the machine.

use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use everwarm_api::client::Client;
use everwarm_api::token::Token;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::args::NodeArgs;
use crate::exit::{Exit, Failure};
use crate::settings::{self, ADMIN_URL_DEFAULT};

const TOKEN_VARIABLE: &str = "EVERWARM_TOKEN";
/// Nobody has logged in, or the file is no use.
const NO_CREDENTIALS: &str = "EW5002";

/// The word for the node of `up`.
const LOCAL: &str = "up";
/// The file in a node's data folder that says where `up` has its admin API.
const LOCAL_FILE: &str = "admin.json";

/// What the file holds.
struct Kept {
    node: String,
    token: SecretString,
    authority: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    node: &'a str,
    token: &'a str,
    /// The certificates of those who vouch for the node, as PEM, if the system's don't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<Cow<'a, str>>,
}

/// A client of the node that is meant.
///
/// # Errors
/// When no token is known for it.
pub(crate) fn client(args: &NodeArgs) -> Result<Client, Failure> {
    if args.node.as_deref() == Some(LOCAL) {
        return local_client(args);
    }
    let kept = file()
        .map(|path| read(&path, "everwarm login"))
        .transpose()?
        .flatten();
    let from_variable = std::env::var(TOKEN_VARIABLE).ok().map(SecretString::from);
    let node = args.node.clone();
    let node = node.or_else(|| kept.as_ref().map(|kept| kept.node.clone()));
    let node = node.unwrap_or_else(|| ADMIN_URL_DEFAULT.to_owned());
    // A kept token is for its node, and for no other one that somebody names.
    let kept = kept.filter(|kept| kept.node == node);
    let authority = kept.as_ref().and_then(|kept| kept.authority.clone());
    let token = from_variable.or(kept.map(|kept| kept.token)).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            NO_CREDENTIALS,
            format!(
                "no token is known for {node}: run `everwarm login {node}`, or set {TOKEN_VARIABLE}"
            ),
        )
    })?;
    let token = Token::parse(token.expose_secret())
        .map_err(|error| Failure::new(Exit::Usage, NO_CREDENTIALS, error.to_string()))?;
    let authority = authority.as_deref().map(str::as_bytes);
    Ok(Client::with_authority(
        &node,
        token,
        args.tenant.clone(),
        authority,
    )?)
}

/// A client of the node that `up` has in this folder, or in one above it.
fn local_client(args: &NodeArgs) -> Result<Client, Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    let mut files = here
        .ancestors()
        .map(|folder| settings::data_dir(None, folder).join(LOCAL_FILE));
    let file = files.find(|file| file.exists()).ok_or_else(|| {
        let message = "no app is up in this folder: run `everwarm up` in it, or name the node with `--node` \
                       (what was started with `--data-dir` isn't looked for elsewhere)";
        Failure::new(Exit::Usage, NO_CREDENTIALS, message)
    })?;
    let gone = || Failure::new(Exit::Usage, NO_CREDENTIALS, "the app isn't up any more");
    let kept = read(&file, "everwarm up")?.ok_or_else(gone)?;
    let token = Token::parse(kept.token.expose_secret())
        .map_err(|error| Failure::new(Exit::Usage, NO_CREDENTIALS, error.to_string()))?;
    Ok(Client::new(&kept.node, token, args.tenant.clone())?)
}

/// Says in the data folder of `up` where its admin API is, for the user alone, and where that is said.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn keep_local(data_dir: &Path, node: &str, token: &Token) -> Result<PathBuf, Failure> {
    let path = data_dir.join(LOCAL_FILE);
    let written = Written {
        node,
        token: token.expose(),
        ca: None,
    };
    write(&path, &written).map_err(|error| {
        let message = format!("couldn't write {}: {error}", path.display());
        Failure::uncoded(Exit::Failure, message)
    })?;
    Ok(path)
}

/// Keeps a token, and the authority that vouches for its node if it isn't one of the system's, and says where.
///
/// # Errors
/// When there is no home, or the file can't be written.
pub(crate) fn keep(node: &str, token: &Token, authority: Option<&str>) -> Result<PathBuf, Failure> {
    let path = file().ok_or_else(|| {
        Failure::uncoded(
            Exit::Failure,
            "neither XDG_CONFIG_HOME nor HOME is set: where should the token be kept?",
        )
    })?;
    let written = Written {
        node,
        token: token.expose(),
        ca: authority.map(Cow::Borrowed),
    };
    write(&path, &written).map_err(|error| {
        Failure::uncoded(
            Exit::Failure,
            format!("couldn't write {}: {error}", path.display()),
        )
    })?;
    Ok(path)
}

fn file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("everwarm").join("credentials.json"))
}

/// What a file keeps; `again` is what makes another one.
fn read(path: &Path, again: &str) -> Result<Option<Kept>, Failure> {
    let refused = |reason: &dyn std::fmt::Display| {
        let message = format!(
            "the token in {} can't be used: {reason}; run `{again}` again",
            path.display()
        );
        Failure::new(Exit::Usage, NO_CREDENTIALS, message)
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(&error)),
    };
    let mode = fs::metadata(path)
        .map_err(|error| refused(&error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(refused(&format!(
            "other users can reach it (mode {:o})",
            mode & 0o777
        )));
    }
    let written = serde_json::from_str::<Written<'_>>(text.expose_secret());
    // What serde says of a broken file may quote it.
    let written = written.map_err(|_| refused(&"it isn't what was written"))?;
    Ok(Some(Kept {
        node: written.node.to_owned(),
        token: written.token.into(),
        authority: written.ca.map(Cow::into_owned),
    }))
}

fn write(path: &Path, written: &Written<'_>) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let text = SecretString::from(serde_json::to_string(written)?);
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    // An old file may have had another mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.expose_secret().as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
