//! Behaviours of artifacts.

use bytes::Bytes;

use everwarm_manifest::App;

use super::{
    NO_BOUND, app_name, component, main_version, new_version, note, put, tenant, version_ids,
};
use crate::Store;
use crate::artifacts::{ArtifactError, Collected, digest_of};
use crate::audit::Action;
use crate::catalog::{CatalogError, NewVersion, UnixMillis};

pub(super) async fn artifact_reads_back_as_it_was_put(store: &dyn Store) {
    let t = tenant("default");
    let bytes = Bytes::from_static(b"the bytes of a component");
    let artifacts = store.artifacts();
    let digest = artifacts
        .put(&t, bytes.clone(), NO_BOUND)
        .await
        .expect("bytes can be put");
    assert_eq!(digest, digest_of(&bytes));
    assert_eq!(
        artifacts.get(&t, digest).await.expect("they can be read"),
        bytes
    );
    assert!(
        artifacts
            .contains(&t, digest)
            .await
            .expect("the engine can tell")
    );
    let path = artifacts
        .local_file(&t, digest)
        .await
        .expect("they are in a file");
    assert_eq!(std::fs::read(path).expect("the file can be read"), bytes);
}

pub(super) async fn artifact_put_twice_is_one_artifact(store: &dyn Store) {
    let t = tenant("default");
    let bytes = Bytes::from_static(b"the bytes of a component");
    let first = store
        .artifacts()
        .put(&t, bytes.clone(), NO_BOUND)
        .await
        .expect("bytes can be put");
    let again = store
        .artifacts()
        .put(&t, bytes.clone(), NO_BOUND)
        .await
        .expect("and put again");
    assert_eq!(first, again);
    let read = store.artifacts().get(&t, first).await;
    assert_eq!(read.expect("they can be read"), bytes);
}

pub(super) async fn unknown_artifact_is_not_found(store: &dyn Store) {
    let t = tenant("default");
    let digest = digest_of(b"never put");
    let artifacts = store.artifacts();
    let got = artifacts.get(&t, digest).await;
    assert!(
        matches!(got, Err(ArtifactError::NotFound { .. })),
        "{got:?}"
    );
    let file = artifacts.local_file(&t, digest).await;
    assert!(
        matches!(file, Err(ArtifactError::NotFound { .. })),
        "{file:?}"
    );
    assert!(
        !artifacts
            .contains(&t, digest)
            .await
            .expect("the engine can tell")
    );
}

pub(super) async fn tenants_do_not_see_each_others_artifacts(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let bytes = Bytes::from_static(b"ann's component");
    let digest = store
        .artifacts()
        .put(&ann, bytes, NO_BOUND)
        .await
        .expect("bytes can be put");
    let contains = store.artifacts().contains(&bob, digest).await;
    assert!(!contains.expect("the engine can tell"));
    let got = store.artifacts().get(&bob, digest).await;
    assert!(
        matches!(got, Err(ArtifactError::NotFound { .. })),
        "{got:?}"
    );
}

pub(super) async fn empty_and_large_artifacts_are_kept(store: &dyn Store) {
    let t = tenant("default");
    for len in [0, 5 << 20] {
        let bytes = Bytes::from(vec![7; len]);
        let digest = store
            .artifacts()
            .put(&t, bytes.clone(), NO_BOUND)
            .await
            .expect("bytes can be put");
        let read = store.artifacts().get(&t, digest).await;
        assert!(
            read.expect("they can be read") == bytes,
            "{len} bytes came back otherwise"
        );
    }
}

pub(super) async fn artifact_beyond_the_quota_is_refused(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let artifacts = store.artifacts();
    let first = Bytes::from_static(b"ten bytes!");
    artifacts
        .put(&ann, first.clone(), 15)
        .await
        .expect("ten bytes are within 15");
    let refused = artifacts.put(&ann, Bytes::from_static(b"six by"), 15).await;
    assert!(
        matches!(
            refused,
            Err(ArtifactError::Quota {
                kept: 10,
                more: 6,
                bytes_max: 15
            })
        ),
        "{refused:?}"
    );
    let missing = artifacts.contains(&ann, digest_of(b"six by")).await;
    assert!(!missing.expect("the engine can tell"));
    // The same bytes again are no more, and another tenant's count apart.
    artifacts
        .put(&ann, first.clone(), 15)
        .await
        .expect("they are there already");
    artifacts
        .put(&bob, first, 15)
        .await
        .expect("he has none yet");
    let all = artifacts.digests().await.expect("artifacts can be listed");
    assert_eq!(all.len(), 1, "two tenants' same bytes have one name");
    let kept = artifacts.bytes_kept(&ann).await;
    assert_eq!(kept.expect("bytes can be counted"), 10);
}

pub(super) async fn collection_takes_what_no_version_needs(store: &dyn Store) {
    let t = tenant("default");
    let artifacts = store.artifacts();
    let version = put(store, &t, new_version("hello", 1, 1_000)).await;
    let later = UnixMillis(UnixMillis::now().0 + 3_600_000);
    // All is younger than this.
    let none = artifacts
        .collect(UnixMillis(1))
        .await
        .expect("nothing goes wrong");
    assert_eq!(none, Collected::default());
    let collected = artifacts.collect(later).await.expect("nothing goes wrong");
    // The suite puts ten, one of which a version needs.
    assert_eq!(
        collected,
        Collected {
            artifacts: 9,
            bytes: 9
        }
    );
    let needed = artifacts.get(&t, component(1).digest).await;
    assert_eq!(needed.expect("a version needs it"), [1_u8][..]);
    let gone = artifacts.contains(&t, component(2).digest).await;
    assert!(!gone.expect("the engine can tell"));
    let refused = store
        .catalog()
        .put_version(&t, new_version("hello", 2, 2_000), 10)
        .await;
    assert!(
        matches!(refused, Err(CatalogError::ComponentMissing { .. })),
        "{refused:?}"
    );
    // Put again, it is there as before.
    put(store, &t, new_version("hello", 2, 2_000)).await;
    assert!(main_version(store, &t, "hello").await.is_none());
    assert_eq!(
        version_ids(store, &t, "hello").await.last(),
        Some(&version.id)
    );
}

pub(super) async fn bundle_of_assets_is_kept_for_as_long_as_its_version(store: &dyn Store) {
    let t = tenant("default");
    let (artifacts, catalog) = (store.artifacts(), store.catalog());
    let text = "name = \"site\"\n[[assets]]\npath = \"public\"\n";
    let manifest = App::parse(text, "everwarm.toml").expect("a valid manifest");
    let bundle = Bytes::from_static(b"files");
    let version = |digest| {
        let version =
            NewVersion::with_assets(manifest.clone(), [].into(), Some(digest), UnixMillis(1));
        version.expect("it is complete")
    };
    let missing = catalog.put_version(&t, version(digest_of(&bundle)), 10);
    assert!(
        matches!(missing.await, Err(CatalogError::AssetsMissing { .. })),
        "a version needs its files"
    );
    let digest = artifacts.put(&t, bundle.clone(), NO_BOUND).await;
    let digest = digest.expect("files can be put");
    let put = catalog.put_version(&t, version(digest), 10).await;
    let put = put.expect("a version can be put");
    assert_eq!(put.assets, Some(digest));
    let other = version(digest_of(b"other files"));
    assert_ne!(other.id(), put.id, "other files are another version");
    let read = catalog.version(&t, &app_name("site"), put.id).await;
    assert_eq!(read.expect("it can be read"), Some(put));

    let later = UnixMillis(UnixMillis::now().0 + 3_600_000);
    let none = artifacts.collect(later).await.expect("nothing goes wrong");
    assert_eq!(none, Collected::default());
    let kept = artifacts.get(&t, digest).await;
    assert_eq!(kept.expect("a version needs it"), bundle);
    let site = app_name("site");
    let removed = catalog.remove_app(&t, &site, note(Action::RemoveApp, "site"));
    assert!(removed.await.expect("an app can be removed"));
    let one = artifacts.collect(later).await.expect("nothing goes wrong");
    assert_eq!(one.artifacts, 1);
}
