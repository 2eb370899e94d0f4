//! One thing that is kept in memory while it is asked for: made once however many ask, and let go when there is no room for
//! it. Owns that, and that it is made by a task of its own; the bound is the library's, what the thing is and how it is made
//! the caller's.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::library::{Charge, Library, Shelved};
use crate::stored::FilesError;

/// See the module's documentation. Only read by those who find it there.
#[derive(Debug)]
pub struct Kept<T> {
    held: ArcSwapOption<Held<T>>,
    used: AtomicBool,
    /// While it is made: where those who asked hear of it.
    making: Mutex<Option<Coming<T>>>,
}

/// What was made, once it is.
type Made<T> = Option<Result<Arc<Held<T>>, FilesError>>;
type Coming<T> = watch::Receiver<Made<T>>;

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
            used: AtomicBool::new(false),
            making: Mutex::default(),
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
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// What is kept, or what `work` makes, with the bytes that it takes. It is made to its end by a task of its own, whether
    /// or not those who wait for it go on: who is left half-way, as a guest may leave what it asked for, is in nobody's way.
    ///
    /// # Errors
    ///
    /// What `work` says, to all who wait for it; the next who asks makes it again.
    pub async fn get_or_make(
        self: &Arc<Self>,
        library: &Arc<Library>,
        work: impl Future<Output = Result<(T, u64), FilesError>> + Send + 'static,
    ) -> Result<Arc<Held<T>>, FilesError> {
        let mut coming = self.coming(library, work);
        let made = coming.wait_for(Option::is_some).await;
        match made.as_deref() {
            Ok(Some(made)) => made.clone(),
            // Its task went with its runtime.
            Ok(None) | Err(_) => Err(FilesError::Machine("reading them was given up".into())),
        }
    }

    /// Where to hear of it: from now on somebody makes it, if it isn't there.
    fn coming(
        self: &Arc<Self>,
        library: &Arc<Library>,
        work: impl Future<Output = Result<(T, u64), FilesError>> + Send + 'static,
    ) -> Coming<T> {
        let mut making = self.making.lock();
        if let Some(held) = self.get().as_deref().and_then(Option::as_ref) {
            // It has come meanwhile.
            return watch::channel(Some(Ok(Arc::clone(held)))).1;
        }
        // One whose task is gone tells nobody any more.
        let going_on = making.as_ref().filter(|made| made.has_changed().is_ok());
        if let Some(coming) = going_on {
            return coming.clone();
        }
        let (tell, coming) = watch::channel(None);
        *making = Some(coming.clone());
        let (kept, library) = (Arc::clone(self), Arc::clone(library));
        // One at most for each thing. It ends with its reads, and they are done in their turn.
        tokio::spawn(async move {
            let made = work.await;
            let made = made.map(|(value, bytes)| kept.put(value, bytes, &library));
            *kept.making.lock() = None;
            tell.send_replace(Some(made));
        });
        coming
    }

    fn put(self: &Arc<Self>, value: T, bytes: u64, library: &Library) -> Arc<Held<T>> {
        let held = Arc::new(Held {
            value,
            _charge: library.charge(bytes),
        });
        // Used is what somebody finds: pieces of a large file that is read once push out nothing that is asked for again.
        self.used.store(false, Ordering::Relaxed);
        self.held.store(Some(Arc::clone(&held)));
        let owner: Weak<Self> = Arc::downgrade(self);
        library.keep(owner);
        held
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
    use std::task::{Context, Waker};
    use std::time::Duration;

    use everwarm_manifest::{Digest, TenantId};

    use super::*;
    use crate::library::Bundles;

    struct Nowhere;

    impl Bundles for Nowhere {
        fn local_file(&self, _: &TenantId, _: Digest) -> PathBuf {
            PathBuf::new()
        }
    }

    async fn put(library: &Arc<Library>, kept: &Arc<Kept<u32>>, made: &Arc<AtomicUsize>) -> u32 {
        let made = Arc::clone(made);
        let read = async move {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok((7, 60))
        };
        **kept.get_or_make(library, read).await.unwrap()
    }

    #[tokio::test]
    async fn it_is_made_once_however_many_ask_and_again_when_it_had_to_go() {
        let library = Library::new(Arc::new(Nowhere), 100);
        let made = Arc::default();
        let (one, other) = (Arc::default(), Arc::default());
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
        let failed = async { Err(FilesError::Machine("no".into())) };
        let failed = kept.get_or_make(&library, failed).await;
        assert!(matches!(failed, Err(FilesError::Machine(why)) if &*why == "no"));
        assert_eq!(put(&library, &kept, &Arc::default()).await, 7);
    }

    #[tokio::test]
    async fn it_is_made_whether_or_not_the_first_who_asked_goes_on() {
        let library = Library::new(Arc::new(Nowhere), 100);
        let (kept, made) = (Arc::default(), Arc::default());
        let mut left = Box::pin(put(&library, &kept, &made));
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(left.as_mut().poll(&mut nobody).is_pending());
        // Neither left half-way nor gone is it in the way of others.
        let other = tokio::time::timeout(Duration::from_secs(30), put(&library, &kept, &made));
        assert_eq!(other.await.expect("it is made"), 7);
        let gone = Arc::default();
        let mut asked = Box::pin(put(&library, &gone, &made));
        assert!(asked.as_mut().poll(&mut nobody).is_pending());
        drop(asked);
        assert_eq!(put(&library, &gone, &made).await, 7);
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_read_once_pushes_out_nothing_that_is_asked_for_again() {
        let library = Library::new(Arc::new(Nowhere), 200);
        let made = Arc::default();
        let (often, once) = (Arc::default(), [(); 5].map(|()| Arc::default()));
        put(&library, &often, &made).await;
        for kept in &once {
            assert!(often.get().is_some());
            put(&library, kept, &made).await;
        }
        assert!(often.get().is_some());
        assert_eq!(library.stock().bytes, 180);
    }
}
