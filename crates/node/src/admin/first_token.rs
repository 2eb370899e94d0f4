//! The first token: made when a node has none of its own, and written where only its user can read it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use everwarm_api::token::Token;
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::accounts::{self, AccountError, Quotas, Scope, TokenId};
use everwarm_store::audit::Action;
use everwarm_store::catalog::UnixMillis;

use super::accounts::TOKENS_MAX;
use crate::node::Node;
use crate::operate::{Actor, note};

/// The file in the data folder.
const FILE: &str = "admin.token";

/// The first token can't be made.
#[derive(Debug, thiserror::Error)]
pub enum FirstTokenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] AccountError),
    /// The system has no randomness.
    #[error("the operating system gave no random numbers: {0}")]
    Random(getrandom::Error),
    /// The file can't be written.
    #[error("the first token can't be written to {}: {source}", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl FirstTokenError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "EW4003"
    }
}

/// Makes sure that there is a default tenant, and a token of the node. Returns the file of a token that was made.
///
/// # Errors
///
/// [`FirstTokenError`].
pub async fn make_first_token(node: &Node) -> Result<Option<PathBuf>, FirstTokenError> {
    make_default_tenant(node).await?;
    if !node.store.accounts().tokens(None).await?.is_empty() {
        return Ok(None);
    }
    let (_, path) = make_token(node).await?;
    Ok(Some(path))
}

/// The token in the data folder, for whoever may read that: as [`make_first_token`], and another one if it isn't there any
/// more or was revoked.
///
/// # Errors
///
/// [`FirstTokenError`].
pub async fn token_at_hand(node: &Node) -> Result<Token, FirstTokenError> {
    make_default_tenant(node).await?;
    let text = std::fs::read_to_string(file(node)).unwrap_or_default();
    if let Ok(token) = Token::parse(&text) {
        let kept = node.store.accounts().token(TokenId(token.id())).await?;
        let is_in_force = kept.is_some_and(|kept| {
            kept.tenant.is_none()
                && kept.scope == Scope::Admin
                && kept.expires.is_none()
                && kept.secret_hash == token.secret_hash()
        });
        if is_in_force {
            return Ok(token);
        }
    }
    let (token, _) = make_token(node).await?;
    Ok(token)
}

fn file(node: &Node) -> PathBuf {
    node.store.data_dir().root().join(FILE)
}

async fn make_default_tenant(node: &Node) -> Result<(), FirstTokenError> {
    let accounts = node.store.accounts();
    let tenant = TenantId::default_tenant();
    if accounts.tenant(&tenant).await?.is_none() {
        let actor = Actor::node();
        let entry = note(&actor, Action::PutTenant, tenant.as_str(), String::new());
        accounts
            .put_tenant(&tenant, Quotas::UNBOUNDED, entry)
            .await?;
    }
    Ok(())
}

async fn make_token(node: &Node) -> Result<(Token, PathBuf), FirstTokenError> {
    let token = Token::random().map_err(FirstTokenError::Random)?;
    let path = file(node);
    // The file first: a token that nobody has is harmless, one that nobody can read isn't.
    write(&path, &token).map_err(|source| FirstTokenError::File {
        path: path.clone(),
        source,
    })?;
    let kept = accounts::Token {
        id: TokenId(token.id()),
        tenant: None,
        scope: Scope::Admin,
        name: "first".to_owned(),
        secret_hash: token.secret_hash(),
        created: UnixMillis::now(),
        expires: None,
    };
    let id = kept.id.to_string();
    let actor = Actor::node();
    let entry = note(&actor, Action::PutToken, &id, "first (admin)".to_owned());
    let accounts = node.store.accounts();
    accounts.put_token(kept, TOKENS_MAX, entry).await?;
    Ok((token, path))
}

fn write(path: &Path, token: &Token) -> std::io::Result<()> {
    // What an earlier start left when it failed half-way.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", token.expose())?;
    file.sync_all()
}
