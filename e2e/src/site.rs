//! An app with files: in a folder for `up`, or as a bundle for a node that others deploy to.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_api::client::{Client, ClientError};
use everwarm_api::messages::{Deploy, Deployed};
use everwarm_bundle::Packer;
use everwarm_manifest::AssetPath;
use tempfile::TempDir;

use crate::app::World;
use crate::code;
use crate::installed;
use crate::node::{Node, everwarm_command};
use crate::reply::Reply;
use crate::server::{digest, upload};

/// Bytes of the large file of [`Site::sample`].
pub const LARGE_BYTES: usize = (2 << 20) + 777;

/// An app with files. Its name is `site`.
#[derive(Debug, Clone, Default)]
pub struct Site {
    files: Vec<(String, Bytes)>,
    beside: Vec<(String, Bytes)>,
    assets: String,
    functions: String,
    components: Vec<(String, PathBuf)>,
}

impl Site {
    /// One without anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One with a page, a folder with another, text that is worth compressing, a large file, and what is hidden.
    pub fn sample() -> Self {
        Self::new()
            .file("public/index.html", "<h1>home</h1>")
            .file("public/docs/index.html", "<h1>docs</h1>")
            .file("public/docs/a b.txt", "with a space")
            .file("public/style.css", "b{}")
            .file("public/assets/app.0123.js", Self::text())
            .file("public/large.bin", Self::large())
            .file("public/.well-known/security.txt", "well known")
            .file("public/.env", "SECRET=1")
            .assets("path = \"public\"\nimmutable = [\"assets/**\"]")
    }

    /// The large file of [`Self::sample`]: more than is kept in memory, and no two pieces alike.
    pub fn large() -> Bytes {
        let mut state = 1_u32;
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        bytes.take(LARGE_BYTES).collect()
    }

    /// The text of [`Self::sample`].
    pub fn text() -> String {
        "some text that repeats itself, ".repeat(200)
    }

    /// Adds a file, at a path relative to the app's folder.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Bytes>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Adds a file that is in the folder, and in no bundle.
    #[must_use]
    pub fn beside(mut self, path: &str, content: impl Into<Bytes>) -> Self {
        self.beside.push((path.to_owned(), content.into()));
        self
    }

    /// Adds `[[assets]]` with these lines of TOML.
    #[must_use]
    pub fn assets(mut self, lines: &str) -> Self {
        let _ = writeln!(self.assets, "[[assets]]\n{lines}");
        self
    }

    /// Adds a function that is the guest, at a route.
    #[must_use]
    pub fn function(self, guest: &str, route: &str) -> Self {
        let route = format!("routes = [{route:?}]");
        self.function_with(guest, guest, World::Wasi02, &route)
    }

    /// Adds a function that is the guest, built for a world, with these lines of TOML.
    #[must_use]
    pub fn function_with(mut self, name: &str, guest: &str, world: World, lines: &str) -> Self {
        let component = installed::component(guest, world);
        let _ = writeln!(
            self.functions,
            "[[function]]\nname = {name:?}\ncomponent = {:?}\n{lines}",
            component.to_string_lossy()
        );
        self.components.push((name.to_owned(), component));
        self
    }

    /// The app's manifest.
    pub fn manifest(&self) -> String {
        format!("name = \"site\"\n{}{}", self.functions, self.assets)
    }

    /// Writes the app to a new folder.
    ///
    /// # Panics
    ///
    /// When the folder can't be made.
    pub fn write(&self) -> SiteFolder {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (path, content) in self.files.iter().chain(&self.beside) {
            write(&folder.path().join(path), content);
        }
        write(&folder.path().join("everwarm.toml"), self.manifest());
        SiteFolder(folder)
    }

    /// The bundle of its files, without variants.
    ///
    /// # Panics
    ///
    /// When a path is none.
    pub fn bundle(&self) -> Bytes {
        let mut packer = Packer::default();
        for (path, content) in &self.files {
            let path = AssetPath::new(path).expect("the path is one");
            packer.add(&path, content.to_vec()).expect("there is room");
        }
        packer.finish().expect("there is memory").into()
    }

    /// Uploads what isn't there, and deploys.
    ///
    /// # Errors
    ///
    /// What the node says.
    pub async fn deploy(&self, client: &Client) -> Result<Deployed, ClientError> {
        self.deploy_with(client, self.bundle()).await
    }

    /// As [`Self::deploy`], with any bytes as the bundle.
    ///
    /// # Errors
    ///
    /// What the node says.
    ///
    /// # Panics
    ///
    /// When a component can't be read.
    pub async fn deploy_with(
        &self,
        client: &Client,
        bundle: Bytes,
    ) -> Result<Deployed, ClientError> {
        let assets = digest(&bundle);
        if !client.has_assets(&assets).await? {
            client.put_assets(&assets, bundle).await?;
        }
        let mut deploy = Deploy {
            manifest: self.manifest(),
            components: [].into(),
            assets: Some(assets),
            migrations: [].into(),
            percent: None,
            sticky_header: None,
            health: None,
        };
        for (name, path) in &self.components {
            let component = upload(path, client).await?;
            deploy.components.insert(name.clone(), component);
        }
        let deployed = client.deploy("site", &deploy, None).await;
        let paths = self.components.iter().map(|(_, path)| path);
        paths.for_each(|path| code::keep(path));
        deployed
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    let folder = path.parent().expect("it is in a folder");
    fs::create_dir_all(folder).expect("a folder can be made");
    fs::write(path, content).expect("a file can be written");
}

/// An app with files, in its folder.
#[derive(Debug)]
pub struct SiteFolder(TempDir);

impl SiteFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, at a path relative to the folder.
    ///
    /// # Panics
    ///
    /// When it can't be written.
    pub fn edit(&self, path: &str, content: &str) {
        write(&self.path().join(path), content);
    }

    /// Serves it with `up`, and these flags.
    ///
    /// # Panics
    ///
    /// When it doesn't get ready.
    pub async fn up(&self, flags: &[&str]) -> Node {
        let mut command = everwarm_command();
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--log", "info"]);
        command.args(flags).arg(self.path());
        Node::ready(command).await
    }
}

/// A response's body as text, whatever it was compressed with.
///
/// # Panics
///
/// When it isn't what its head says.
pub fn decoded(reply: &Reply) -> String {
    let (bytes, mut text) = (reply.bytes(), String::new());
    let read = match reply.header("content-encoding") {
        None => return reply.text().to_owned(),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4_096).read_to_string(&mut text),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes)
            .and_then(|mut decoder| decoder.read_to_string(&mut text)),
        Some(other) => panic!("{other} is no coding that we have"),
    };
    read.expect("it is what its head says");
    text
}
