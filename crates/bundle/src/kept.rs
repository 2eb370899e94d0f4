//! One thing that is kept in memory while it is asked for: made once however many ask, and let go when there is no room for
//! it. Owns that; the bound is the library's, what the thing is and how it is made the caller's.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwapOption, Guard};

use crate::library::{Charge, Library, Shelved};

/// See the module's documentation. Only read by those who find it there.
#[derive(Debug)]
pub struct Kept<T> {
    held: ArcSwapOption<Held<T>>,
    used: AtomicBool,
    making: tokio::sync::Mutex<()>,
}

/// What is kept, with its part of the library's bound. It counts for as long as anybody has it.
#[derive(Debug)]
pub struct Held<T> {
    value: T,
    _charge: Charge,
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            held: ArcSwapOption::empty(),
            used: AtomicBool::new(true),
            making: tokio::sync::Mutex::default(),
        }
    }
}

impl<T> Kept<T> {
    /// What is kept, if it is.
    pub fn get(&self) -> Option<Guard<Option<Arc<Held<T>>>>> {
        let held = self.held.load();
        held.as_ref()?;
        // Nearly always that is known: looking is cheaper than writing.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        Some(held)
    }

    /// What is kept, or what `make` makes, with the bytes that it takes. `owner` is what has this, and is asked to let go of
    /// it.
    ///
    /// # Errors
    ///
    /// What `make` says; the next who asks makes it again.
    pub async fn get_or_make<E>(
        &self,
        library: &Library,
        owner: Weak<dyn Shelved>,
        make: impl Future<Output = Result<(T, u64), E>>,
    ) -> Result<Arc<Held<T>>, E> {
        let _only_one = self.making.lock().await;
        if let Some(held) = self.held.load_full() {
            return Ok(held);
        }
        let (value, bytes) = make.await?;
        let held = Arc::new(Held {
            value,
            _charge: library.charge(bytes),
        });
        self.used.store(true, Ordering::Relaxed);
        self.held.store(Some(Arc::clone(&held)));
        library.keep(owner);
        Ok(held)
    }
}

impl<T: Send + Sync> Shelved for Kept<T> {
    fn let_go(&self) -> bool {
        let was_used = self.used.swap(false, Ordering::Relaxed);
        if !was_used {
            self.held.store(None);
        }
        !was_used
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::AtomicUsize;

    use everwarm_manifest::{Digest, TenantId};

    use super::*;
    use crate::library::Bundles;

    struct Nowhere;

    impl Bundles for Nowhere {
        fn local_file(&self, _: &TenantId, _: Digest) -> PathBuf {
            PathBuf::new()
        }
    }

    async fn put(library: &Library, kept: &Arc<Kept<u32>>, made: &AtomicUsize) -> u32 {
        let owner: Weak<Kept<u32>> = Arc::downgrade(kept);
        let read = async {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>((7, 60))
        };
        **kept.get_or_make(library, owner, read).await.unwrap()
    }

    #[tokio::test]
    async fn it_is_made_once_however_many_ask_and_again_when_it_had_to_go() {
        let library = Library::new(Arc::new(Nowhere), 100);
        let made = AtomicUsize::new(0);
        let (one, other) = (Arc::new(Kept::default()), Arc::new(Kept::default()));
        tokio::join!(
            put(&library, &one, &made),
            put(&library, &one, &made),
            put(&library, &one, &made)
        );
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(library.stock().bytes, 60);
        put(&library, &other, &made).await;
        assert!(one.get().is_none(), "there is room for one of them alone");
        assert_eq!(library.stock().bytes, 60);
        put(&library, &one, &made).await;
        assert_eq!(made.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_could_not_be_made_is_made_by_the_next_who_asks() {
        let library = Library::new(Arc::new(Nowhere), 100);
        let kept: Arc<Kept<u32>> = Arc::default();
        let owner: Weak<Kept<u32>> = Arc::downgrade(&kept);
        let failed = kept.get_or_make(&library, owner, async { Err("no") }).await;
        assert_eq!(failed.unwrap_err(), "no");
        assert_eq!(put(&library, &kept, &AtomicUsize::new(0)).await, 7);
    }
}
