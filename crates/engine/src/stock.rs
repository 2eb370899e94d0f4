//! How many instances to keep ready: grows when a request found none, shrinks when some were left.
//!
//! Pure: no clock, no Wasmtime. The caller makes the instances, and calls [`Stock::sweep`] at a
//! steady pace.

/// Instances that are kept ready for one function in one lane.
const STOCK_MAX: usize = 32;

/// Ready instances of one function.
#[derive(Debug)]
pub(crate) struct Stock<I> {
    ready: Vec<I>,
    ordered: usize,
    /// How many to have ready and ordered together.
    wanted: usize,
    /// The fewest that were ready since the last sweep.
    low: usize,
    taken_since_sweep: bool,
}

impl<I> Default for Stock<I> {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            ordered: 0,
            wanted: 0,
            low: 0,
            taken_since_sweep: false,
        }
    }
}

impl<I> Stock<I> {
    /// Takes the instance that was ready last: its memory is the likeliest to be in the cache.
    pub(crate) fn take(&mut self) -> Option<I> {
        self.taken_since_sweep = true;
        let instance = self.ready.pop();
        if instance.is_none() {
            self.wanted = (self.wanted + 1).min(STOCK_MAX);
        }
        self.low = self.low.min(self.ready.len());
        instance
    }

    /// Whether another instance should be made.
    pub(crate) fn wants_one(&self) -> bool {
        self.ready.len() + self.ordered < self.wanted
    }

    pub(crate) fn ordered(&mut self) {
        self.ordered += 1;
    }

    pub(crate) fn arrived(&mut self, instance: I) {
        self.ordered = self.ordered.saturating_sub(1);
        self.ready.push(instance);
    }

    pub(crate) fn failed(&mut self) {
        self.ordered = self.ordered.saturating_sub(1);
    }

    /// Takes back an instance that a request has left (`serial`); dropped if there are enough.
    pub(crate) fn put_back(&mut self, instance: I) {
        if self.ready.len() < STOCK_MAX {
            self.ready.push(instance);
        }
    }

    /// Returns the instances to drop: half of those that nobody needed since the last sweep, and
    /// all when nobody took any.
    pub(crate) fn sweep(&mut self) -> Vec<I> {
        let unused = if self.taken_since_sweep {
            self.low.div_ceil(2)
        } else {
            self.wanted = 0;
            self.ready.len()
        };
        self.wanted = self.wanted.saturating_sub(unused);
        let surplus = self.ready.drain(..unused.min(self.ready.len())).collect();
        self.low = self.ready.len();
        self.taken_since_sweep = false;
        surplus
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.ordered == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_miss_orders_one_more_and_an_idle_function_keeps_none() {
        let mut stock = Stock::default();
        assert_eq!(stock.take(), None);
        assert!(stock.wants_one());
        stock.ordered();
        assert!(!stock.wants_one());
        stock.arrived(1);
        assert_eq!(stock.take(), Some(1));
        stock.ordered();
        stock.arrived(2);
        assert!(stock.sweep().is_empty());
        assert_eq!(stock.sweep(), vec![2]);
        assert!(stock.is_empty());
    }

    proptest! {
        #[test]
        fn the_stock_is_bounded_and_loses_nothing(steps in prop::collection::vec(0u8..4, 0..500)) {
            let mut stock = Stock::default();
            let (mut made, mut gone) = (0usize, 0usize);
            for step in steps {
                match step {
                    0 | 1 => {
                        gone += usize::from(stock.take().is_some());
                        if stock.wants_one() {
                            stock.ordered();
                        }
                    }
                    2 if stock.ordered > 0 => {
                        stock.arrived(made);
                        made += 1;
                    }
                    _ => gone += stock.sweep().len(),
                }
                prop_assert!(stock.ready.len() + stock.ordered <= STOCK_MAX);
                prop_assert_eq!(stock.ready.len(), made - gone);
            }
        }
    }
}
