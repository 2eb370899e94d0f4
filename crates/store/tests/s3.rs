//! Blobs in a bucket of a real S3 server: the suite that every engine passes, and what is in the bucket. The HTTP here is the
//! plainest that there is; the node's own is tested from end to end.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use everwarm_e2e::s3::{ACCESS_KEY, BUCKET, Failing, PREFIX, S3, SECRET_KEY};
use everwarm_e2e::{eventually, within};
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::blobs::{
    BlobError, BlobId, BlobName, BlobQuota, Blobs, Condition, Container, PIECE_BYTES, Part,
};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::conformance::BEHAVIOURS;
use everwarm_store::embedded::backup::{check, restore};
use everwarm_store::embedded::{BucketConfig, Embedded, OpenError};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection for each request.
#[derive(Debug)]
struct PlainHttp;

type Answering<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for PlainHttp {
    // As `async_trait` writes it.
    fn call<'life0, 'async_trait>(&'life0 self, request: HttpRequest) -> Answering<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answered = timeout(PATIENCE, answer(request)).await;
            answered.unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
        })
    }
}

async fn answer(mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let authority = request.uri().authority().unwrap().to_string();
    let path = request.uri().path_and_query().unwrap().as_str();
    *request.uri_mut() = path.parse().unwrap();
    let host = authority.parse().unwrap();
    request.headers_mut().insert(hyper::header::HOST, host);
    let stream = TcpStream::connect(&authority).await;
    let stream = stream.map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    tokio::spawn(connection);
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(broken)?
        .into_parts();
    let body = HttpResponseBody::new(body.map_err(broken));
    Ok(HttpResponse::from_parts(head, body))
}

fn broken(error: hyper::Error) -> HttpError {
    let kind = if error.is_parse() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}

fn config(s3: &S3, prefix: &str) -> BucketConfig {
    BucketConfig {
        endpoint: s3.endpoint(),
        bucket: BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        region: "eu-central-1".to_owned(),
        virtual_host: false,
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.into(),
        session_token: None,
        patience: PATIENCE,
        http: HttpClient::new(PlainHttp),
        runtime: Handle::current(),
    }
}

fn open(folder: &Path, s3: &S3) -> Embedded {
    Embedded::open_with(folder, Some(config(s3, PREFIX))).unwrap()
}

fn id(name: &str) -> BlobId {
    id_of("shop", name)
}

fn id_of(app: &str, name: &str) -> BlobId {
    BlobId {
        container: Container {
            tenant: TenantId::default_tenant(),
            app: app.parse().unwrap(),
            name: "photos".parse().unwrap(),
        },
        name: BlobName::new(name).unwrap(),
    }
}

async fn try_put(blobs: &dyn Blobs, blob: &BlobId, bytes: &[u8]) -> Result<(), BlobError> {
    let mut upload = blobs.put(blob, None, BlobQuota::NONE).await?;
    for piece in bytes.chunks(PIECE_BYTES) {
        upload.write(Bytes::copy_from_slice(piece)).await?;
    }
    upload.finish(Condition::Any, UnixMillis(1)).await?;
    Ok(())
}

async fn put(store: &Embedded, blob: &BlobId, bytes: &[u8]) {
    try_put(store.blobs(), blob, bytes).await.unwrap();
}

async fn try_read(store: &Embedded, blob: &BlobId) -> Result<Option<Vec<u8>>, BlobError> {
    let Some(mut download) = store.blobs().get(blob, Part::WHOLE).await? else {
        return Ok(None);
    };
    let mut all = Vec::new();
    while let Some(piece) = download.read().await? {
        all.extend_from_slice(&piece);
    }
    Ok(Some(all))
}

async fn read(store: &Embedded, blob: &BlobId) -> Option<Vec<u8>> {
    try_read(store, blob).await.unwrap()
}

async fn sweep(store: &Embedded) {
    while store.blobs().sweep().await.unwrap() {}
}

/// Waits until so many objects are there, sweeping meanwhile.
async fn objects(store: &Embedded, s3: &S3, count: usize) {
    eventually("the objects are those of blobs", async || {
        sweep(store).await;
        (s3.objects().len() == count).then_some(())
    })
    .await;
}

/// The files that blobs are in.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let below = paths.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    below.collect()
}

async fn remove(store: &Embedded, app: &str) {
    let tenant = TenantId::default_tenant();
    let app = app.parse().unwrap();
    let removed = store.blobs().remove_app(&tenant, &app);
    assert!(removed.await.unwrap());
}

async fn backed_up(store: &Embedded) -> Vec<u8> {
    let (pieces, mut received) = mpsc::channel::<Bytes>(4);
    let receiving = async {
        let mut archive = Vec::new();
        while let Some(piece) = received.recv().await {
            archive.extend_from_slice(&piece);
        }
        archive
    };
    let (sent, archive) = tokio::join!(store.back_up(pieces), receiving);
    sent.unwrap();
    archive
}

/// Bytes of which no two pieces are the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count.div_ceil(8) as u64)
        .flat_map(u64::to_le_bytes)
        .take(count)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_with_a_bucket_has_every_behaviour_of_the_suite() {
    let s3 = S3::start().await;
    for (number, behaviour) in BEHAVIOURS.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&s3, &format!("{PREFIX}/{number}"));
        let store = Embedded::open_with(dir.path(), Some(config)).unwrap();
        eprintln!("{}", behaviour.name);
        within("the behaviour", (behaviour.run)(&store)).await;
        let has_files = dir.path().join("blobs").exists();
        assert!(!has_files, "no blob is in a file: {}", behaviour.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_blobs_go_in_parts_and_objects_of_no_blob_go() {
    let (s3, dir) = (S3::start().await, tempfile::tempdir().unwrap());
    let store = open(dir.path(), &s3);
    // Around where a part ends, and over many of them.
    for count in [0, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 24 << 20] {
        let all = bytes(count);
        put(&store, &id("a"), &all).await;
        assert!(read(&store, &id("a")).await.unwrap() == all, "{count}");
        let (start, len_max) = (count as u64 / 2, 10);
        let part = store.blobs().get(&id("a"), Part { start, len_max }).await;
        let mut part = part.unwrap().unwrap();
        let expected = &all[count / 2..all.len().min(count / 2 + 10)];
        let expected = (!expected.is_empty()).then(|| Bytes::copy_from_slice(expected));
        assert_eq!(part.read().await.unwrap(), expected, "{count}");
    }
    assert_eq!(s3.parts(), 0);
    objects(&store, &s3, 1).await;
    put(&store, &id("b"), b"b").await;
    let stranger = s3.objects()[0].with_file_name("notes.txt");
    fs::write(&stranger, "not a blob").unwrap();
    // What a process that was killed has left.
    let of_app = stranger.parent().unwrap().parent().unwrap();
    let left = of_app.join("67").join("0123456789abcdef01234567");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "half").unwrap();
    drop(store);
    let store = open(dir.path(), &s3);
    objects(&store, &s3, 3).await;
    assert!(stranger.exists() && !left.exists());
    let blobs = store.blobs();
    let (tenant, app) = (TenantId::default_tenant(), "shop".parse().unwrap());
    assert!(blobs.remove_app(&tenant, &app).await.unwrap());
    objects(&store, &s3, 1).await;
    assert!(stranger.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_that_was_changed_is_found_out_and_one_that_is_gone_too() {
    let (s3, dir) = (S3::start().await, tempfile::tempdir().unwrap());
    let store = open(dir.path(), &s3);
    put(&store, &id("a"), b"hello").await;
    fs::write(&s3.objects()[0], "jello").unwrap();
    let damaged = try_read(&store, &id("a")).await;
    assert!(
        matches!(damaged, Err(BlobError::Damaged { .. })),
        "{damaged:?}"
    );
    for other in ["hello, and more", "hell", ""] {
        fs::write(&s3.objects()[0], other).unwrap();
        for start in [0, 4] {
            let read = async {
                let part = Part { start, len_max: 9 };
                let mut part = store.blobs().get(&id("a"), part).await?.unwrap();
                part.read().await
            };
            let damaged = read.await;
            let is_told = matches!(damaged, Err(BlobError::Damaged { .. }));
            assert!(is_told, "{other:?} from {start}: {damaged:?}");
        }
    }
    fs::remove_file(&s3.objects()[0]).unwrap();
    let gone = try_read(&store, &id("a")).await;
    assert!(matches!(gone, Err(BlobError::Damaged { .. })), "{gone:?}");
    let head = store.blobs().head(&id("a")).await.unwrap();
    assert_eq!(head.unwrap().size, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_store_removes_nothing_of_the_one_that_was_backed_up() {
    let (s3, dir) = (S3::start().await, tempfile::tempdir().unwrap());
    let store = open(dir.path(), &s3);
    put(&store, &id("old"), b"the old contents").await;
    let archive = backed_up(&store).await;
    let has_bytes = archive
        .windows(16)
        .any(|bytes| bytes == b"the old contents");
    assert!(!has_bytes, "a bucket's blobs aren't in a backup");
    let scratch = tempfile::tempdir().unwrap();
    let checked = check(Cursor::new(&archive), scratch.path()).unwrap();
    let elsewhere = checked.blobs_elsewhere;
    assert_eq!((elsewhere.blobs, elsewhere.bytes), (1, 16));
    let copy = tempfile::tempdir().unwrap();
    let root = copy.path().join("data");
    let restored = restore(Cursor::new(&archive), &root).unwrap();
    assert_eq!(restored.blobs_elsewhere, elsewhere);
    let without = Embedded::open(&root);
    assert!(matches!(without, Err(OpenError::NoBucket(_))));

    put(&store, &id("new"), b"new").await;
    sweep(&store).await;
    let copied = open(&root, &s3);
    sweep(&copied).await;
    let found = read(&copied, &id("old")).await;
    assert_eq!(found.as_deref(), Some(&b"the old contents"[..]));
    assert_eq!(read(&copied, &id("new")).await, None);
    // It writes and forgets, and leaves all objects where they are.
    let deleted = copied.blobs().delete(&id("old"), Condition::Any).await;
    assert!(deleted.unwrap());
    put(&copied, &id("its own"), b"its own").await;
    sweep(&copied).await;
    assert_eq!(s3.objects().len(), 3);
    for (name, text) in [("old", "the old contents"), ("new", "new")] {
        let found = read(&store, &id(name)).await;
        assert_eq!(found.as_deref(), Some(text.as_bytes()));
    }
    // The other one is gone, says its operator.
    drop(store);
    fs::remove_file(s3.owner()).unwrap();
    objects(&copied, &s3, 1).await;
    let found = read(&copied, &id("its own")).await;
    assert_eq!(found.as_deref(), Some(&b"its own"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_fails_is_told_of_in_time_and_loses_nothing() {
    let (s3, dir) = (S3::start().await, tempfile::tempdir().unwrap());
    let store = open(dir.path(), &s3);
    put(&store, &id("kept"), b"kept").await;
    for failing in [Failing::Silent, Failing::Garbage, Failing::Gone] {
        s3.fail(failing);
        let (new, large) = (id("new"), bytes(9 << 20));
        for asked in [&b"small"[..], &large] {
            let put = try_put(store.blobs(), &new, asked);
            let put = within("an error", put).await;
            let is_told = matches!(put, Err(BlobError::Unavailable { .. }));
            assert!(is_told, "{failing:?}: {put:?}");
        }
        let got = within("an error", try_read(&store, &id("kept"))).await;
        let is_told = matches!(got, Err(BlobError::Unavailable { .. }));
        assert!(is_told, "{failing:?}: {got:?}");
        // What the index knows needs no server.
        let blobs = store.blobs();
        assert!(blobs.head(&id("kept")).await.unwrap().is_some());
        assert!(blobs.head(&id("new")).await.unwrap().is_none());
        s3.fail(Failing::No);
        let found = read(&store, &id("kept")).await;
        assert_eq!(found.as_deref(), Some(&b"kept"[..]), "{failing:?}");
    }
    objects(&store, &s3, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_can_not_go_hold_up_no_files() {
    let (s3, dir) = (S3::start().await, tempfile::tempdir().unwrap());
    let folder = dir.path().join("blobs");
    let store = Embedded::open(dir.path()).unwrap();
    put(&store, &id_of("first", "a"), b"a").await;
    put(&store, &id_of("second", "a"), b"a").await;
    drop(store);
    let store = open(dir.path(), &s3);
    put(&store, &id_of("first", "b"), b"b").await;
    objects(&store, &s3, 1).await;
    assert_eq!(files(&folder).len(), 2);

    // The bucket is this store's, and down.
    s3.fail(Failing::Gone);
    remove(&store, "first").await;
    remove(&store, "second").await;
    within("the files to go", sweep(&store)).await;
    assert!(files(&folder).is_empty(), "{:?}", files(&folder));
    s3.fail(Failing::No);
    assert_eq!(s3.objects().len(), 1);
    objects(&store, &s3, 0).await;

    // There is none any more.
    put(&store, &id_of("first", "b"), b"b").await;
    s3.fail(Failing::Gone);
    remove(&store, "first").await;
    drop(store);
    let store = Embedded::open(dir.path()).unwrap();
    put(&store, &id_of("second", "a"), b"a").await;
    put(&store, &id_of("third", "a"), b"a").await;
    remove(&store, "second").await;
    within("the files to go", sweep(&store)).await;
    assert_eq!(files(&folder).len(), 1);
    drop(store);

    // It is said again, and nobody knows whose it is.
    let store = open(dir.path(), &s3);
    remove(&store, "third").await;
    within("the files to go", sweep(&store)).await;
    assert!(files(&folder).is_empty(), "{:?}", files(&folder));
    s3.fail(Failing::No);
    assert_eq!(s3.objects().len(), 1);
    objects(&store, &s3, 0).await;
}
