//! Stores as unit tests of functions have them.

use std::time::Duration;

use super::{KvError, Store};
use crate::testing::block_on;

#[test]
fn what_is_kept_is_there_for_whoever_opens_the_store_of_that_name() {
    block_on(async {
        let store = Store::open("default").unwrap();
        assert_eq!(store.get("k").await.unwrap(), None);
        store.set("k", "v").await.unwrap();
        let again = Store::open("default").unwrap();
        assert_eq!(again.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
        assert!(again.exists("k").await.unwrap());
        let other = Store::open("other").unwrap();
        assert!(!other.exists("k").await.unwrap());
        again.delete("k").await.unwrap();
        assert!(!store.exists("k").await.unwrap());
    });
}

#[test]
fn numbers_are_added_to_and_what_is_no_number_is_not() {
    block_on(async {
        let store = Store::open("default").unwrap();
        assert_eq!(store.increment("n", 2).await.unwrap(), 2);
        assert_eq!(store.increment("n", -5).await.unwrap(), -3);
        assert_eq!(store.get("n").await.unwrap().as_deref(), Some(&b"-3"[..]));
        store.set("n", "many").await.unwrap();
        let error = store.increment("n", 1).await.unwrap_err();
        assert!(matches!(error, KvError::Other(_)), "{error}");
    });
}

#[test]
fn update_sees_what_is_there_and_keeps_what_is_made_of_it() {
    block_on(async {
        let store = Store::open("default").unwrap();
        for expected in ["x", "xx"] {
            let grow = |value: Option<Vec<u8>>| [value.unwrap_or_default(), b"x".to_vec()].concat();
            assert_eq!(store.update("k", grow).await.unwrap(), expected.as_bytes());
        }
    });
}

#[test]
fn update_is_asked_again_when_somebody_else_writes_in_between() {
    block_on(async {
        let store = Store::open("default").unwrap();
        let mut asked = 0;
        let value = store.update("k", |value| {
            asked += 1;
            if asked == 1 {
                let other = Store::open("default").unwrap();
                block_on(other.set("k", "theirs ")).unwrap();
            }
            [value.unwrap_or_default(), b"mine".to_vec()].concat()
        });
        assert_eq!(value.await.unwrap(), b"theirs mine");
        assert_eq!(asked, 2);
    });
}

#[test]
fn batches_and_pages_have_all_keys_in_order() {
    block_on(async {
        let store = Store::open("default").unwrap();
        let values: [(&str, &[u8]); 3] = [("a/1", b"1"), ("b/1", b"2"), ("a/2", b"3")];
        store.set_many(&values).await.unwrap();
        let read = store.get_many(&["a/2", "none", "a/1"]).await.unwrap();
        assert_eq!(read, [Some(b"3".to_vec()), None, Some(b"1".to_vec())]);
        assert_eq!(store.keys(None).await.unwrap().keys, ["a/1", "a/2", "b/1"]);
        let first = store.keys_with_prefix("a/", None, 1).await.unwrap();
        assert_eq!(first.keys, ["a/1"]);
        let rest = store.keys_with_prefix("a/", first.cursor.as_deref(), 10);
        let rest = rest.await.unwrap();
        assert_eq!((rest.keys, rest.cursor), (vec!["a/2".to_owned()], None));
        store.delete_many(&["a/1", "b/1"]).await.unwrap();
        assert_eq!(store.keys(None).await.unwrap().keys, ["a/2"]);
    });
}

#[test]
fn json_comes_back_as_it_was_and_other_bytes_are_an_error() {
    block_on(async {
        let store = Store::open("default").unwrap();
        store.set_json("k", &vec![1, 2]).await.unwrap();
        let read: Option<Vec<u8>> = store.get_json("k").await.unwrap();
        assert_eq!(read, Some(vec![1, 2]));
        store.set("k", [0xff]).await.unwrap();
        let error = store.get_json::<Vec<u8>>("k").await.unwrap_err();
        assert!(matches!(error, KvError::Json(_)));
    });
}

#[test]
fn entries_end_by_themselves_and_bad_ones_are_refused() {
    block_on(async {
        let store = Store::open("default").unwrap();
        store
            .set_for("k", "v", Duration::from_millis(1))
            .await
            .unwrap();
        while store.exists("k").await.unwrap() {
            crate::sleep(Duration::from_millis(1)).await;
        }
        assert!(store.set_for("k", "v", Duration::ZERO).await.is_err());
        assert!(store.set("", "v").await.is_err());
        assert!(store.set("k", vec![0; (1 << 20) + 1]).await.is_err());
        assert!(store.get_many(&["k"; 101]).await.is_err());
        assert!(matches!(Store::open(""), Err(KvError::NoSuchStore)));
    });
}
