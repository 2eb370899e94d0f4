//! Reads the app's files by `wasi:filesystem` 0.3 itself. The path of a request is what is done, its query a path in the first
//! folder: `/stream?a/b` gives the file's own stream to the client, the others say in JSON what came of it.
#![allow(missing_docs, reason = "the export macro's items carry none")]

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasip3::http::types::{ErrorCode as HttpError, Fields, Request, Response};
use wasip3::http_compat::http_into_wasi_response;
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Files);

struct Files;

impl wasip3::exports::http::handler::Guest for Files {
    async fn handle(request: Request) -> Result<Response, HttpError> {
        let asked = request.get_path_with_query().unwrap_or_default();
        let asked = asked.trim_start_matches('/');
        let (what, path) = asked.split_once('?').unwrap_or((asked, ""));
        if what == "stream"
            && let Ok(file) = open(path).await
        {
            let (stream, _) = file.read_via_stream(0);
            let (_, trailers) = wit_future::new(|| Ok(None));
            let (response, _) = Response::new(Fields::new(), Some(stream), trailers);
            return Ok(response);
        }
        let said = match done(what, path).await {
            Ok(value) => json!({ "ok": value }),
            Err(code) => json!({ "error": told(&code) }),
        };
        let body = Full::new(Bytes::from(said.to_string()));
        http_into_wasi_response(http::Response::new(body))
    }
}

fn told(code: &ErrorCode) -> String {
    let code = format!("{code:?}");
    code.trim_start_matches("ErrorCode::").to_owned()
}

fn folder() -> Result<Descriptor, ErrorCode> {
    let folders = get_directories();
    folders
        .into_iter()
        .next()
        .map(|(folder, _)| folder)
        .ok_or(ErrorCode::BadDescriptor)
}

async fn at(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, ErrorCode> {
    let folder = folder()?;
    let path = path.to_owned();
    folder.open_at(PathFlags::empty(), path, open, flags).await
}

async fn open(path: &str) -> Result<Descriptor, ErrorCode> {
    at(path, OpenFlags::empty(), DescriptorFlags::READ).await
}

async fn done(what: &str, path: &str) -> Result<Value, ErrorCode> {
    Ok(match what {
        "folders" => json!(get_directories().len()),
        "open" => json!(is(&open(path).await?.get_type().await?)),
        "read" => {
            let (stream, ended) = open(path).await?.read_via_stream(0);
            let bytes = stream.collect().await;
            ended.await?;
            json!(String::from_utf8_lossy(&bytes))
        }
        "part" => {
            let (stream, ended) = open(path).await?.read_via_stream(3);
            let bytes = stream.collect().await;
            ended.await?;
            json!(String::from_utf8_lossy(&bytes))
        }
        // The guest has had enough after the first piece.
        "begin" => {
            let (mut stream, ended) = open(path).await?.read_via_stream(0);
            let (_, piece) = stream.read(Vec::with_capacity(10)).await;
            drop(stream);
            ended.await?;
            json!(piece.len())
        }
        "list" => {
            let (stream, ended) = open(path).await?.read_directory();
            let mut names = Vec::new();
            for entry in stream.collect().await {
                names.push(format!("{} {}", is(&entry.type_), entry.name));
            }
            ended.await?;
            json!(names)
        }
        "facts" => facts(path).await?,
        "change" => change(path).await?,
        _ => return Err(ErrorCode::Unsupported),
    })
}

fn is(kind: &DescriptorType) -> &'static str {
    match kind {
        DescriptorType::Directory => "folder",
        DescriptorType::RegularFile => "file",
        _ => "other",
    }
}

async fn facts(path: &str) -> Result<Value, ErrorCode> {
    let (folder, file, same) = (folder()?, open(path).await?, open(path).await?);
    let stat = folder.stat_at(PathFlags::empty(), path.to_owned()).await?;
    let hash = file.metadata_hash().await?;
    let there = folder.metadata_hash_at(PathFlags::empty(), path.to_owned());
    let there = there.await?;
    let (stream, ended) = folder.read_via_stream(0);
    drop(stream);
    let (names, listed) = file.read_directory();
    drop(names);
    Ok(json!({
        "size": stat.size,
        "links": stat.link_count,
        "same_stat": file.stat().await?.size == stat.size,
        "times": stat.data_modification_timestamp.is_some(),
        "flags": file.get_flags().await? == DescriptorFlags::READ,
        "advise": file.advise(0, 1, Advice::WillNeed).await.is_ok(),
        "sync": file.sync().await.is_ok() && file.sync_data().await.is_ok(),
        "same": file.is_same_object(&same).await,
        "other": file.is_same_object(&folder).await,
        "hash": (hash.lower, hash.upper) == (there.lower, there.upper),
        "read_link": refused(folder.readlink_at(path.to_owned()).await.map(drop)),
        "read_folder": refused(ended.await),
        "list_file": refused(listed.await),
    }))
}

fn refused(done: Result<(), ErrorCode>) -> String {
    done.map_or_else(|code| told(&code), |()| "done".to_owned())
}

/// Tries to change a file and its folder in every way, and says how that was refused.
async fn change(path: &str) -> Result<Value, ErrorCode> {
    let (folder, file) = (folder()?, open(path).await?);
    let other = || "other".to_owned();
    let path = || path.to_owned();
    let now = NewTimestamp::Now;
    let none = PathFlags::empty();
    let written = |at: Option<u64>| {
        let (mut writer, reader) = wit_stream::new::<u8>();
        let ended = match at {
            Some(at) => file.write_via_stream(reader, at),
            None => file.append_via_stream(reader),
        };
        async move {
            let left = writer.write_all(b"x".to_vec()).await;
            format!("{} {}", refused(ended.await), left.len())
        }
    };
    let opened = |open, flags| {
        let path = path();
        async move { refused(at(&path, open, flags).await.map(drop)) }
    };
    Ok(json!([
        written(Some(0)).await,
        written(None).await,
        opened(OpenFlags::CREATE, DescriptorFlags::READ).await,
        opened(OpenFlags::TRUNCATE, DescriptorFlags::READ).await,
        opened(OpenFlags::empty(), DescriptorFlags::WRITE).await,
        opened(OpenFlags::empty(), DescriptorFlags::MUTATE_DIRECTORY).await,
        refused(file.set_size(0).await),
        refused(file.set_times(now, now).await),
        refused(folder.set_times_at(none, path(), now, now).await),
        refused(folder.create_directory_at(other()).await),
        refused(folder.link_at(none, path(), &folder, other()).await),
        refused(folder.rename_at(path(), &folder, other()).await),
        refused(folder.symlink_at(path(), other()).await),
        refused(folder.unlink_file_at(path()).await),
        refused(folder.remove_directory_at(path()).await),
    ]))
}
