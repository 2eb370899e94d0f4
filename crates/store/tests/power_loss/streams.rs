//! What a node asks of its blobs, and what can be seen of them.

use bytes::Bytes;
use everwarm_manifest::AppName;
use everwarm_store::artifacts::digest_of;
use everwarm_store::blobs::{
    BlobId, BlobName, BlobQuota, Blobs, Condition, Container, PIECE_BYTES, Part,
};
use everwarm_store::catalog::UnixMillis;

use super::{Outcome, Step, tenant};

/// One call of the port.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// A blob of so many bytes.
    Put(&'static str, usize),
    Delete(&'static str),
    Rename(&'static str, &'static str),
    Sweep,
    RemoveApp,
}

/// Blobs of an app: of some pages, of none, replaced, renamed, deleted, swept, removed.
pub(crate) const BLOB_STORY: &[Step] = &[
    Step::Stream(Stream::Put("a", 1_000)),
    Step::Stream(Stream::Put("b", 5_000)),
    Step::Stream(Stream::Put("empty", 0)),
    Step::Stream(Stream::Put("a", 3_000)),
    Step::Stream(Stream::Rename("b", "c/d")),
    Step::Stream(Stream::Put("b", 700)),
    Step::Stream(Stream::Delete("empty")),
    Step::Stream(Stream::Rename("c/d", "b")),
    Step::Stream(Stream::Sweep),
    Step::Stream(Stream::RemoveApp),
    Step::Stream(Stream::Put("a", 2_000)),
    Step::Stream(Stream::Sweep),
    // The store is opened again here.
    Step::Stream(Stream::Put("e", 1_500)),
    Step::Stream(Stream::Sweep),
    Step::Stream(Stream::Delete("a")),
];

fn container() -> Container {
    Container {
        tenant: tenant(),
        app: AppName::new("shop").unwrap(),
        name: "photos".parse().unwrap(),
    }
}

fn id(name: &str) -> BlobId {
    BlobId {
        container: container(),
        name: BlobName::new(name).unwrap(),
    }
}

pub(super) async fn run(blobs: &dyn Blobs, stream: Stream) -> Outcome {
    match stream {
        Stream::Put(name, count) => {
            let mut upload = blobs.put(&id(name), None, BlobQuota::NONE).await?;
            let all: Vec<u8> = (0..=250).cycle().take(count).collect();
            for piece in all.chunks(PIECE_BYTES.min(2_000)) {
                upload.write(Bytes::copy_from_slice(piece)).await?;
            }
            upload.finish(Condition::Any, UnixMillis(1)).await?;
        }
        Stream::Delete(name) => {
            blobs.delete(&id(name), Condition::Any).await?;
        }
        Stream::Rename(from, to) => {
            blobs.rename(&id(from), &id(to)).await?;
        }
        Stream::Sweep => while blobs.sweep().await? {},
        Stream::RemoveApp => {
            blobs.remove_app(&tenant(), &container().app).await?;
        }
    }
    Ok(())
}

pub(super) async fn seen(blobs: &dyn Blobs, seen: &mut Vec<String>) -> Outcome {
    let container = container();
    let kept = blobs.kept(&container.tenant, &container.app).await?;
    seen.push(format!("{kept:?}"));
    for blob in blobs.list(&container, "", None, 100).await?.blobs {
        let download = blobs.get(&id(blob.name.as_str()), Part::WHOLE).await?;
        let mut download = download.ok_or("a blob that is listed isn't there")?;
        let mut all = Vec::new();
        // Checks the bytes against the digest.
        while let Some(piece) = download.read().await? {
            all.extend_from_slice(&piece);
        }
        seen.push(format!("{blob:?} {}", digest_of(&all)));
    }
    Ok(())
}
