//! A server that speaks S3, with a bucket in a folder of its own: `s3s`, which checks every signature. It fails on demand.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::tls::{Pair, server_config};

/// The bucket.
pub const BUCKET: &str = "blobs";
/// What the names of objects begin with.
pub const PREFIX: &str = "node/one";
/// Whose key it takes.
pub const ACCESS_KEY: &str = "everwarm";
/// The key.
pub const SECRET_KEY: &str = "correct-horse-battery-staple";

/// How a server fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failing {
    /// Not at all.
    #[default]
    No,
    /// It takes what is sent, and says nothing.
    Silent,
    /// What it says is no HTTP.
    Garbage,
    /// Its connections end after so many bytes more, each; then it is well again.
    OnceAfter(usize),
    /// Its connections end at once.
    Gone,
}

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct S3 {
    folder: TempDir,
    address: SocketAddr,
    is_tls: bool,
    mood: Arc<Mood>,
    server: JoinHandle<()>,
}

/// What a server does with its connections.
#[derive(Debug, Default)]
struct Mood {
    failing: Mutex<Failing>,
    /// Of [`Failing::OnceAfter`].
    left: AtomicUsize,
    /// Those that wait for it to be well.
    wakers: Mutex<Vec<Waker>>,
    has_failed: AtomicBool,
}

impl S3 {
    /// Starts a server that has the bucket, with nothing in it.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// As [`Self::start`], with TLS.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub async fn start_with(pair: Option<&Pair>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir_all(folder.path().join("data").join(BUCKET)).expect("it can be written to");
        let keys = format!("AWS_ACCESS_KEY_ID={ACCESS_KEY}\nAWS_SECRET_ACCESS_KEY={SECRET_KEY}\n");
        write_private(&folder.path().join("keys"), &keys);
        let mut builder = S3ServiceBuilder::new(
            FileSystem::new(folder.path().join("data")).expect("the folder is there"),
        );
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let mood = Arc::<Mood>::default();
        let tls = pair.map(|pair| TlsAcceptor::from(server_config(pair)));
        let is_tls = tls.is_some();
        let server = tokio::spawn(serve(listener, builder.build(), Arc::clone(&mood), tls));
        Self {
            folder,
            address,
            is_tls,
            mood,
            server,
        }
    }

    /// What a node is told to have its blobs here.
    pub fn flags(&self) -> Vec<String> {
        self.flags_with(BUCKET, &self.keys())
    }

    /// As [`Self::flags`], with another bucket, or other keys.
    pub fn flags_with(&self, bucket: &str, keys: &Path) -> Vec<String> {
        let keys = keys.to_string_lossy();
        let mut flags: Vec<_> = [
            "--blobs-s3-endpoint",
            &self.endpoint(),
            "--blobs-s3-bucket",
            bucket,
            "--blobs-s3-prefix",
            PREFIX,
            "--blobs-s3-keys-file",
            &keys,
            "--blobs-s3-silence-max",
            "2s",
        ]
        .map(ToOwned::to_owned)
        .into();
        if !self.is_tls {
            flags.push("--blobs-s3-allow-http".to_owned());
        }
        flags
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        let port = self.address.port();
        if self.is_tls {
            format!("https://localhost:{port}")
        } else {
            format!("http://127.0.0.1:{port}")
        }
    }

    /// The file with its keys.
    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// Another file with keys, which it doesn't take.
    ///
    /// # Panics
    ///
    /// When it can't be written.
    pub fn other_keys(&self, secret: &str) -> PathBuf {
        let path = self.folder.path().join("other-keys");
        let keys = format!("AWS_ACCESS_KEY_ID={ACCESS_KEY}\nAWS_SECRET_ACCESS_KEY={secret}\n");
        write_private(&path, &keys);
        path
    }

    /// From now on it fails like this.
    pub fn fail(&self, failing: Failing) {
        if let Failing::OnceAfter(bytes) = failing {
            self.mood.left.store(bytes, Ordering::SeqCst);
        }
        self.mood.has_failed.store(false, Ordering::SeqCst);
        *locked(&self.mood.failing) = failing;
        for waker in locked(&self.mood.wakers).drain(..) {
            waker.wake();
        }
    }

    /// Whether somebody has met the failure.
    pub fn has_failed(&self) -> bool {
        self.mood.has_failed.load(Ordering::SeqCst)
    }

    /// The files of all objects that blobs may be in.
    pub fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let owner = Path::new("everwarm-owner");
        files(&self.bucket(), &mut found);
        found.retain(|path| path.file_name() != Some(owner.as_os_str()));
        found
    }

    /// The file of the object that says whose all others are.
    pub fn owner(&self) -> PathBuf {
        self.bucket().join(PREFIX).join("everwarm-owner")
    }

    /// Parts of uploads that haven't ended.
    pub fn parts(&self) -> usize {
        let mut found = Vec::new();
        files(&self.folder.path().join("data"), &mut found);
        let is_part = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(".upload_id-")
        };
        found.iter().filter(is_part).count()
    }

    fn bucket(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn write_private(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).expect("the folder can be written to");
    io::Write::write_all(&mut file, text.as_bytes()).expect("the folder can be written to");
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    listener: TcpListener,
    service: S3Service,
    mood: Arc<Mood>,
    tls: Option<TlsAcceptor>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (service, mood, tls) = (service.clone(), Arc::clone(&mood), tls.clone());
        // It ends with the test's runtime.
        tokio::spawn(async move {
            let stream = Moody { stream, mood };
            // A client that breaks off is none of this server's business.
            if let Some(tls) = tls {
                if let Ok(stream) = tls.accept(stream).await {
                    let _ = connection(TokioIo::new(stream), service).await;
                }
            } else {
                let _ = connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

async fn connection<T>(
    io: TokioIo<T>,
    service: S3Service,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(io, service)
        .await
}

/// A connection that does as the server's mood is.
struct Moody {
    stream: TcpStream,
    mood: Arc<Mood>,
}

impl Moody {
    /// How it fails now. One that waits is woken when that changes.
    fn failing(&self, cx: &Context<'_>) -> Failing {
        let failing = *locked(&self.mood.failing);
        if failing != Failing::No {
            locked(&self.mood.wakers).push(cx.waker().clone());
        }
        failing
    }

    fn has_failed(&self) {
        self.mood.has_failed.store(true, Ordering::SeqCst);
    }
}

impl AsyncRead for Moody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.failing(cx) == Failing::Gone {
            self.has_failed();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Moody {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gone = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        match self.failing(cx) {
            Failing::No => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Failing::Silent => {
                self.has_failed();
                Poll::Pending
            }
            Failing::Gone => {
                self.has_failed();
                gone()
            }
            Failing::Garbage => {
                self.has_failed();
                // The kernel takes so few bytes at once.
                let _ = self.stream.try_write(b"220 smtp.example.com ready\r\n");
                Poll::Pending
            }
            Failing::OnceAfter(_) => {
                let left = self.mood.left.load(Ordering::SeqCst);
                if left == 0 {
                    self.has_failed();
                    *locked(&self.mood.failing) = Failing::No;
                    return gone();
                }
                let bytes = &bytes[..bytes.len().min(left)];
                let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
                if let Poll::Ready(Ok(count)) = written {
                    self.mood.left.fetch_sub(count, Ordering::SeqCst);
                }
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
