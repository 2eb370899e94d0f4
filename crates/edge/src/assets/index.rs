//! Where each file of a version is: read from its bundle, once, and checked whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use everwarm_bundle::{Contents, FilesError, Library, Stored};
use everwarm_manifest::{AssetPath, Assets};
use hashbrown::HashMap;

use super::SiteSpec;
use super::file::{File, Kind};

/// The file that a folder's own path leads to.
const INDEX: &str = "index.html";
/// What is taken for a file's place in memory, besides its name, and for each form that it can be sent in.
const BYTES_PER_FILE: u64 = 512;
const BYTES_PER_CONTENT: u64 = 384;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Index {
    /// One for each of the manifest's `[[assets]]`.
    folders: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    /// By path in the folder; the index of `a` is also `a/`.
    files: HashMap<Box<str>, Arc<File>>,
    fallback: Option<Arc<File>>,
}

/// What is at a path.
#[derive(Debug)]
pub(crate) enum Found {
    /// A file.
    File(Arc<File>),
    /// A folder with an index, whose path ends with a slash.
    Folder,
    /// Nothing; the page that stands in for what has no file, if there is one.
    Nothing(Option<Arc<File>>),
}

impl Index {
    /// Reads a bundle, and says how many bytes what is known of it then takes. Nothing of it is done on the caller's thread.
    pub(super) async fn open(
        library: &Arc<Library>,
        spec: &SiteSpec,
    ) -> Result<(Self, u64), FilesError> {
        let assets = spec.assets.clone();
        let index = move |bundle: &Arc<Stored>, contents: &Contents| {
            let bytes = contents.files.iter().map(|(name, file)| {
                let contents = 1 + file.variants.len() as u64;
                // Once in the table, once more for an index.
                let one =
                    BYTES_PER_FILE + contents * BYTES_PER_CONTENT + 2 * name.as_str().len() as u64;
                // As often as a folder has it.
                one * assets.len() as u64
            });
            let bytes: u64 = bytes.sum();
            let folders = assets.iter();
            let folders = folders.map(|assets| Folder::of(assets, contents, bundle));
            let folders = folders.collect();
            (Self { folders }, bytes)
        };
        Stored::open(library, &spec.name.tenant, spec.bundle, index).await
    }

    /// What is at a path below a folder's prefix: nothing, or what begins with a slash.
    pub(super) fn look(&self, folder: usize, below: &str) -> Found {
        let Some(folder) = self.folders.get(folder) else {
            return Found::Nothing(None);
        };
        let Some(path) = below.strip_prefix('/') else {
            // The prefix itself, without its slash.
            let is_folder = below.is_empty() && folder.files.contains_key("");
            return if is_folder {
                Found::Folder
            } else {
                Found::Nothing(folder.fallback.clone())
            };
        };
        if path.contains('%') {
            return match decoded(path) {
                Some(path) => folder.look(&path),
                None => Found::Nothing(folder.fallback.clone()),
            };
        }
        folder.look(path)
    }
}

impl Folder {
    fn of(assets: &Assets, contents: &Contents, bundle: &Arc<Stored>) -> Self {
        let below: BTreeMap<&str, &everwarm_bundle::File> = contents
            .files
            .iter()
            .filter_map(|(path, file)| Some((AssetPath::strip_folder(path, &assets.path)?, file)))
            .collect();
        let mut files = HashMap::with_capacity(below.len());
        for (name, file) in &below {
            let kind = if assets.is_immutable(name) {
                Kind::Immutable
            } else {
                Kind::File
            };
            let served = File::new(name, file, kind, bundle);
            if let Some(folder) = name.strip_suffix(INDEX)
                && (folder.is_empty() || folder.ends_with('/'))
            {
                files.insert(folder.into(), Arc::clone(&served));
            }
            files.insert((*name).into(), served);
        }
        let fallback = assets.fallback.as_ref().and_then(|name| {
            let file = below.get(name.as_str())?;
            Some(File::new(name.as_str(), file, Kind::Fallback, bundle))
        });
        Self { files, fallback }
    }

    fn look(&self, path: &str) -> Found {
        if let Some(file) = self.files.get(path) {
            return Found::File(Arc::clone(file));
        }
        let folder = format!("{path}/");
        if self.files.contains_key(&*folder) {
            Found::Folder
        } else {
            Found::Nothing(self.fallback.clone())
        }
    }
}

/// A path with the octets that its codes stand for. `None` for what no file is called: a slash, a backslash or a NUL that
/// came as a code separates nothing, and what isn't UTF-8 is no name.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let code = (byte == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(code[0])? * 16 + digit(code[1])?).ok()
        });
        match code {
            Some(b'/' | b'\\' | 0) => return None,
            Some(octet) => {
                bytes.push(octet);
                rest = &after[2..];
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_for_their_octets_but_never_for_a_separator() {
        for (path, expected) in [
            ("a%20b", Some("a b")),
            ("caf%C3%A9", Some("caf\u{e9}")),
            ("a%21", Some("a!")),
            ("100%25", Some("100%")),
            ("a%zz", Some("a%zz")),
            ("a%", Some("a%")),
            ("a%2", Some("a%2")),
            ("a%2Fb", None),
            ("..%2f..%2fetc", None),
            ("a%5Cb", None),
            ("a%00", None),
            ("a%FF", None),
        ] {
            assert_eq!(decoded(path).as_deref(), expected, "{path}");
        }
    }
}
