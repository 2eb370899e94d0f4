//! Blobs against the double that unit tests have.

use futures_util::stream;

use super::{BlobError, Condition, Container};
use crate::testing::block_on;
use crate::{Body, Bytes};

fn photos() -> Container {
    Container::open("photos").expect("every name is granted")
}

#[test]
fn blob_is_read_as_it_was_written() {
    block_on(async {
        let photos = photos();
        assert!(photos.get("a").await.unwrap().is_none());
        let parts = [Ok::<_, BlobError>("one "), Ok("two")];
        let info = photos
            .put("a", Body::from_stream(stream::iter(parts)))
            .await;
        let info = info.unwrap();
        assert_eq!((info.size, info.content_type.clone()), (7, None));
        assert_eq!(photos.head("a").await.unwrap(), Some(info));
        let blob = photos.get("a").await.unwrap().unwrap();
        assert_eq!(blob.left(), 7);
        assert_eq!(blob.into_body().text().await.unwrap(), "one two");
        let part = photos.get_part("a", 4, 2).await.unwrap().unwrap();
        assert_eq!(part.bytes().await.unwrap(), "tw");
        assert!(photos.get_part("a", 8, 1).await.is_err());
    });
}

#[test]
fn body_that_breaks_off_leaves_nothing() {
    block_on(async {
        let (photos, parts) = (photos(), [Ok("half"), Err("gone")]);
        let put = photos.put("a", Body::from_stream(stream::iter(parts)));
        assert!(matches!(put.await, Err(BlobError::Body(_))));
        assert!(photos.head("a").await.unwrap().is_none());
    });
}

#[test]
fn conditions_are_looked_at_when_a_blob_is_finished() {
    block_on(async {
        let photos = photos();
        let write = async |text: &'static str, condition| {
            let mut upload = photos.upload("a", Some("text/plain")).await.unwrap();
            upload.write(text).await.unwrap();
            upload.finish(condition).await
        };
        let first = write("1", Condition::Absent).await.unwrap();
        assert_eq!(first.content_type.as_deref(), Some("text/plain"));
        assert!(matches!(
            write("2", Condition::Absent).await,
            Err(BlobError::Changed)
        ));
        let matches = Condition::Matches(first.etag);
        write("2", matches.clone()).await.unwrap();
        assert!(matches!(
            write("3", matches.clone()).await,
            Err(BlobError::Changed)
        ));
        assert!(photos.delete_if("a", matches).await.is_err());
        assert!(photos.delete("a").await.unwrap());
        assert!(!photos.delete("a").await.unwrap());
    });
}

#[test]
fn blobs_are_listed_copied_and_renamed() {
    block_on(async {
        let (photos, old) = (photos(), Container::open("old").unwrap());
        for name in ["a/1", "a/2", "b"] {
            photos.put(name, Bytes::from_static(b"x")).await.unwrap();
        }
        let page = photos.list("a/", None, 1).await.unwrap();
        assert_eq!(page.blobs[0].name, "a/1");
        let page = photos.list("a/", page.cursor.as_deref(), 1).await.unwrap();
        assert_eq!((page.blobs[0].name.as_str(), page.cursor), ("a/2", None));
        assert!(photos.copy("b", &old, "c").await.unwrap().is_some());
        assert!(photos.copy("none", &old, "c").await.unwrap().is_none());
        assert!(photos.rename("a/1", &old, "c").await.unwrap());
        assert!(!photos.rename("a/1", &old, "c").await.unwrap());
        assert_eq!(photos.list("", None, 10).await.unwrap().blobs.len(), 2);
        assert_eq!(old.list("", None, 10).await.unwrap().blobs.len(), 1);
        assert!(matches!(
            Container::open("No"),
            Err(BlobError::NoSuchContainer)
        ));
        assert!(matches!(
            photos.put("", "x").await,
            Err(BlobError::Invalid(_))
        ));
    });
}
