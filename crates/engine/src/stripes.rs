//! Places for threads to count in, so that two of them don't write to one cache line.
//!
//! Owns which place is whose. With more threads than places some share one, which costs time and nothing else.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many places there are.
pub const STRIPES: usize = 16;

/// The place of the thread that asks: the same each time.
pub fn mine() -> usize {
    thread_local! {
        static PLACE: usize = {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
        };
    }
    PLACE.with(|place| *place)
}

/// Something that shares its cache line with nothing, nor the one beside it, which processors fetch in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Apart<T>(pub T);

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One of something for each place.
#[derive(Debug, Default)]
pub struct Striped<T>([Apart<T>; STRIPES]);

impl<T> Striped<T> {
    /// Makes each by its place's number.
    pub fn from_fn(mut make: impl FnMut(usize) -> T) -> Self {
        Self(std::array::from_fn(|place| Apart(make(place))))
    }

    /// The one of the thread that asks.
    pub fn mine(&self) -> &T {
        &self.0[mine()]
    }

    /// The one of a place that [`mine`] gave.
    ///
    /// # Panics
    ///
    /// When nobody has that place.
    pub fn at(&self, place: usize) -> &T {
        &self.0[place]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_keeps_its_place_and_none_is_lost() {
        let striped = Striped::from_fn(AtomicUsize::new);
        let counts = |striped: &Striped<AtomicUsize>| -> usize {
            striped
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .sum()
        };
        let before = counts(&striped);
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    let mine = std::ptr::from_ref(striped.mine());
                    for _ in 0..100 {
                        striped.mine().fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(std::ptr::eq(mine, striped.mine()));
                });
            }
        });
        assert_eq!(counts(&striped) - before, 2 * STRIPES * 100);
    }
}
