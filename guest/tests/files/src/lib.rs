//! Reads the app's files as a test asks for. `GET /<path>` streams the file at the path back. `POST /` does what the JSON in
//! its body says, by the standard library or, where that has no words for it, by `wasi:filesystem` 0.2 itself. The answer is
//! what came of it: `{"ok": ...}`, or `{"error": "..."}` with the kind of the error.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::SystemTime;

use everwarm_sdk::http::Method;
use everwarm_sdk::{Body, Error, IntoResponse as _, Json, Request, Response, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags, filesystem_error_code,
};
use wasip2::io::streams::StreamError;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Ask {
    /// All of a file, as text.
    Read { path: String },
    /// How many bytes a file has, and their sum, without having them all at once.
    Sum { path: String },
    /// As `Sum`, after so many milliseconds of work.
    WorkAndSum { path: String, ms: u64 },
    /// A part, from an offset; from the end if it is negative.
    Part {
        path: String,
        start: i64,
        len: usize,
    },
    /// What is known of it.
    Stat { path: String },
    /// Names of a folder, those of folders with a slash.
    List { path: String },
    /// Whether all that would change something is refused, and with what.
    Change { path: String },
    /// Opens a file so many times.
    Hoard {
        path: String,
        count: usize,
        /// Also begins to read each.
        #[serde(default)]
        begin: bool,
    },
    /// The folders that there are.
    Folders,
    /// What comes of opening a path in the first folder, by the interface itself.
    Open { path: String },
    /// As `Open`, and with these flags.
    OpenWith { path: String, flag: String },
    /// The interface's own calls on a file.
    Interface { path: String },
    /// Reads a file by a stream, and says how that failed.
    Stream { path: String },
}

const PIECE_BYTES: usize = 64 << 10;

#[everwarm_sdk::http]
async fn files(request: Request) -> Result {
    if request.method() == Method::POST {
        let ask: Ask = request.into_body().json().await?;
        return Ok(Json(match done(&ask) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": format!("{:?}", error.kind()) }),
        })
        .into_response());
    }
    let path = request.uri().path().to_owned();
    let mut file = File::open(&path).map_err(|_| Error::not_found("there is no such file"))?;
    let (mut sender, body) = Body::channel();
    everwarm_sdk::spawn(async move {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => {
                    if sender.send(piece[..len].to_vec()).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    let _ = sender.fail(error).await;
                    break;
                }
            }
        }
    });
    Ok(Response::new(body))
}

fn done(ask: &Ask) -> io::Result<Value> {
    Ok(match ask {
        Ask::Read { path } => json!(fs::read_to_string(path)?),
        Ask::Sum { path } => sum(path)?,
        Ask::WorkAndSum { path, ms } => {
            work(*ms);
            sum(path)?
        }
        Ask::Part { path, start, len } => json!(part(path, *start, *len)?),
        Ask::Stat { path } => {
            let metadata = fs::metadata(path)?;
            let modified = metadata.modified().ok();
            json!({
                "is_file": metadata.is_file(),
                "is_dir": metadata.is_dir(),
                "is_symlink": fs::symlink_metadata(path)?.is_symlink(),
                "len": metadata.len(),
                "modified": modified.is_some_and(|time| time > SystemTime::UNIX_EPOCH),
            })
        }
        Ask::List { path } => {
            let entries = fs::read_dir(path)?.map(|entry| {
                let entry = entry?;
                let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
                Ok(format!("{}{slash}", entry.file_name().to_string_lossy()))
            });
            json!(entries.collect::<io::Result<Vec<_>>>()?)
        }
        Ask::Change { path } => change(path),
        Ask::Hoard { path, count, begin } => {
            let mut open = Vec::new();
            let mut error = None;
            let one = || {
                let mut file = File::open(path)?;
                if *begin {
                    file.read_exact(&mut [0])?;
                }
                std::io::Result::Ok(file)
            };
            for _ in 0..*count {
                match one() {
                    Ok(file) => open.push(file),
                    Err(refused) => {
                        error = Some(format!("{:?}", refused.kind()));
                        break;
                    }
                }
            }
            json!({ "open": open.len(), "error": error })
        }
        Ask::Folders => {
            let folders = get_directories();
            json!(folders.iter().map(|(_, at)| at).collect::<Vec<_>>())
        }
        Ask::Open { path } => json!(opened(path, OpenFlags::empty(), DescriptorFlags::READ)),
        Ask::OpenWith { path, flag } => {
            let (open, flags) = match flag.as_str() {
                "create" => (OpenFlags::CREATE, DescriptorFlags::READ),
                "truncate" => (OpenFlags::TRUNCATE, DescriptorFlags::READ),
                "exclusive" => (OpenFlags::EXCLUSIVE, DescriptorFlags::READ),
                "directory" => (OpenFlags::DIRECTORY, DescriptorFlags::READ),
                "write" => (OpenFlags::empty(), DescriptorFlags::WRITE),
                "mutate" => (OpenFlags::empty(), DescriptorFlags::MUTATE_DIRECTORY),
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            };
            json!(opened(path, open, flags))
        }
        Ask::Interface { path } => interface(path).unwrap_or_else(|code| json!(told(code))),
        Ask::Stream { path } => json!(stream(path)),
    })
}

fn sum(path: &str) -> io::Result<Value> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    let (mut bytes, mut sum) = (0_u64, 0_u64);
    loop {
        let len = file.read(&mut piece)?;
        if len == 0 {
            return Ok(json!({ "bytes": bytes, "sum": sum }));
        }
        bytes += len as u64;
        sum += piece[..len]
            .iter()
            .map(|byte| u64::from(*byte))
            .sum::<u64>();
    }
}

/// Keeps the processor busy.
fn work(ms: u64) {
    let started = std::time::Instant::now();
    let mut number = 1_u64;
    while started.elapsed().as_millis() < u128::from(ms) {
        for _ in 0..10_000 {
            number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
        }
    }
}

fn part(path: &str, start: i64, len: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(match u64::try_from(start) {
        Ok(start) => SeekFrom::Start(start),
        Err(_) => SeekFrom::End(start),
    })?;
    let mut bytes = Vec::new();
    file.take(len as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tries to change a file and its folder in every way, and says how that was refused.
fn change(path: &str) -> Value {
    let other = format!("{path}.new");
    let kind = |done: io::Result<()>| match done {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    let open = |options: &mut OpenOptions, path: &str| options.open(path).map(drop);
    json!({
        "create": kind(File::create(&other).map(drop)),
        "create_new": kind(File::create_new(&other).map(drop)),
        "truncate": kind(open(OpenOptions::new().write(true).truncate(true), path)),
        "append": kind(open(OpenOptions::new().append(true), path)),
        "write": kind(open(OpenOptions::new().write(true), path)),
        "remove": kind(fs::remove_file(path)),
        "rename": kind(fs::rename(path, &other)),
        "link": kind(fs::hard_link(path, &other)),
        "create_dir": kind(fs::create_dir(&other)),
        "remove_dir": kind(fs::remove_dir(path)),
    })
}

fn told(code: ErrorCode) -> String {
    code.name().to_owned()
}

fn first_folder() -> Result<Descriptor, ErrorCode> {
    let folders = get_directories();
    folders
        .into_iter()
        .next()
        .map(|(folder, _)| folder)
        .ok_or(ErrorCode::BadDescriptor)
}

fn at(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, ErrorCode> {
    first_folder()?.open_at(PathFlags::SYMLINK_FOLLOW, path, open, flags)
}

fn opened(path: &str, open: OpenFlags, flags: DescriptorFlags) -> String {
    match at(path, open, flags).and_then(|opened| opened.get_type()) {
        Ok(kind) => format!("{kind:?}"),
        Err(code) => told(code),
    }
}

/// What the interface's own calls say of a file.
fn interface(path: &str) -> Result<Value, ErrorCode> {
    let folder = first_folder()?;
    let read = |path| at(path, OpenFlags::empty(), DescriptorFlags::READ);
    let (file, same) = (read(path)?, read(path)?);
    let refused = |done: Result<(), ErrorCode>| done.map_or_else(told, |()| "done".to_owned());
    let hash = |hash: wasip2::filesystem::types::MetadataHashValue| (hash.lower, hash.upper);
    let (end, is_end) = file.read(4, file.stat()?.size)?;
    let none = file.read(0, 0)?;
    Ok(json!({
        "flags": file.get_flags()? == DescriptorFlags::READ,
        "sync": file.sync().is_ok() && file.sync_data().is_ok(),
        "advise": file.advise(0, 10, wasip2::filesystem::types::Advice::WillNeed).is_ok(),
        "same": file.is_same_object(&same),
        "other": file.is_same_object(&folder),
        "hash": hash(file.metadata_hash()?) == hash(folder.metadata_hash_at(PathFlags::empty(), path)?),
        "other_hash": hash(file.metadata_hash()?) == hash(folder.metadata_hash()?),
        "links": file.stat()?.link_count,
        "times": file.stat()?.data_modification_timestamp.is_some(),
        "end": end.is_empty() && is_end,
        "nothing": none.0.is_empty() && !none.1,
        "beyond": file.read(4, u64::MAX)?.1,
        "write": refused(file.write(b"x", 0).map(drop)),
        "write_stream": refused(file.write_via_stream(0).map(drop)),
        "append_stream": refused(file.append_via_stream().map(drop)),
        "set_size": refused(file.set_size(0)),
        "set_times": refused(file.set_times(
            wasip2::filesystem::types::NewTimestamp::Now,
            wasip2::filesystem::types::NewTimestamp::Now,
        )),
        "symlink": refused(folder.symlink_at("a", "b")),
        "unlink": refused(folder.unlink_file_at(path)),
        "read_link": refused(folder.readlink_at(path).map(drop)),
        "read_folder": refused(folder.read_via_stream(0).map(drop)),
        "list_file": refused(file.read_directory().map(drop)),
        "below_file": refused(file.stat_at(PathFlags::empty(), "a").map(drop)),
    }))
}

/// How many bytes a stream has; how it failed, if it did.
fn stream(path: &str) -> String {
    let file = match at(path, OpenFlags::empty(), DescriptorFlags::READ) {
        Ok(file) => file,
        Err(code) => return told(code),
    };
    let stream = match file.read_via_stream(0) {
        Ok(stream) => stream,
        Err(code) => return told(code),
    };
    let ready = stream.subscribe();
    let mut bytes = 0;
    loop {
        ready.block();
        match stream.read(1 << 20) {
            Ok(piece) => bytes += piece.len(),
            Err(StreamError::Closed) => return format!("{bytes} bytes"),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = filesystem_error_code(&error);
                return code.map_or("no code".to_owned(), told);
            }
        }
    }
}
