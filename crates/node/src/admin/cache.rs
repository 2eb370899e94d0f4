//! What is kept of an app's answers: how much, and purging it. Owns the form of what is purged.

use axum::Json;
use axum::extract::{Extension, State};
use everwarm_api::messages::{self, CachePurge, CachePurged, PURGED_AT_ONCE_MAX};
use everwarm_cache::storable::is_tag;
use everwarm_cache::store::Purge;
use everwarm_store::audit::Action;
use http::Uri;
use http::uri::Scheme;

use super::Admin;
use super::apps::known_app;
use super::auth::Caller;
use super::failure::Failed;
use super::history::announce;
use super::sent::{Name, Sent};
use crate::kept_answers::are_removed;

pub(super) async fn usage(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
) -> Result<Json<messages::CacheUsage>, Failed> {
    let app = known_app(&admin, &caller, &name).await?;
    let kept = admin.node.targets.kept();
    let kept = kept.find_app(&caller.tenant, &app);
    let usage = kept.map(|kept| kept.usage()).unwrap_or_default();
    Ok(Json(messages::CacheUsage {
        entries: usage.entries,
        bytes: usage.bytes,
        disk_entries: usage.disk_entries,
        disk_bytes: usage.disk_bytes,
        hits: usage.hits,
        disk_hits: usage.disk_hits,
        misses: usage.misses,
    }))
}

pub(super) async fn purge(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
    Sent(sent): Sent<CachePurge>,
) -> Result<Json<CachePurged>, Failed> {
    let app = known_app(&admin, &caller, &name).await?;
    let Purged { urls, tags, all } = purged(sent)?;
    let detail = if all {
        "all".to_owned()
    } else {
        format!("{} URLs, {} tags", urls.len(), tags.len())
    };
    announce(&admin, &caller, Action::PurgeCache, &app, detail).await?;
    let kept = admin.node.targets.kept();
    let Some(cache) = kept.find_app(&caller.tenant, &app) else {
        return Ok(Json(CachePurged { purged: 0 }));
    };
    let everything = all.then_some(Purge::All);
    let urls = urls
        .iter()
        .map(|(host, target)| Purge::Url { host, target });
    let tags = tags.iter().map(|tag| Purge::Tag(tag));
    let what = everything.into_iter().chain(urls).chain(tags);
    let (purged, removals): (Vec<u64>, Vec<_>) = what.map(|what| kept.purge(&cache, &what)).unzip();
    if !are_removed(removals).await {
        return Err(Failed::not_purged());
    }
    Ok(Json(CachePurged {
        purged: purged.iter().sum(),
    }))
}

/// What is purged, as it was understood.
pub(super) struct Purged {
    /// Hosts, each with a path and query.
    urls: Vec<(String, String)>,
    tags: Vec<String>,
    all: bool,
}

/// What a purge means, as it was sent.
pub(super) fn purged(sent: CachePurge) -> Result<Purged, Failed> {
    let CachePurge { urls, tags, all } = sent;
    if urls.is_empty() && tags.is_empty() && !all {
        let message = "nothing is to be purged: name `urls` or `tags`, or say `all`";
        return Err(Failed::bad_request(message.to_owned()));
    }
    if urls.len() > PURGED_AT_ONCE_MAX || tags.len() > PURGED_AT_ONCE_MAX {
        let message =
            format!("at most {PURGED_AT_ONCE_MAX} URLs and as many tags are purged at once");
        return Err(Failed::bad_request(message));
    }
    let urls = urls.iter().map(|url| address(url));
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    if let Some(tag) = tags.iter().find(|tag| !is_tag(tag)) {
        let message = format!(
            "`{}` is no tag: one has 1 to 128 visible ASCII characters, and no comma",
            tag.escape_debug()
        );
        return Err(Failed::bad_request(message));
    }
    Ok(Purged { urls, tags, all })
}

/// Host, path and query of a URL, as clients send them.
fn address(url: &str) -> Result<(String, String), Failed> {
    let wrong = || {
        Failed::bad_request(format!(
            "`{}` is no URL such as https://shop.example.com/products?page=2",
            url.escape_debug()
        ))
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(wrong());
    };
    let usual = match scheme {
        scheme if *scheme == Scheme::HTTP => 80,
        scheme if *scheme == Scheme::HTTPS => 443,
        _ => return Err(wrong()),
    };
    let host = match authority.port_u16() {
        Some(port) if port == usual => authority.host(),
        _ => authority.as_str(),
    };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    Ok((host.to_ascii_lowercase(), target.to_owned()))
}
