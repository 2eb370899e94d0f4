//! Who may come in: bounds on the requests that are worked on at once.
//!
//! Owns the counting. A [`Permit`] is held until the books of its request close, which is after
//! the last byte of the response's body and after background work: until then it holds an instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts what is inside, up to a bound.
#[derive(Debug)]
pub struct Gate {
    inside: AtomicU32,
    bound: u32,
}

impl Gate {
    /// A gate that lets `bound` in at once.
    pub fn new(bound: u32) -> Arc<Self> {
        Arc::new(Self {
            inside: AtomicU32::new(0),
            bound,
        })
    }

    /// How many are inside.
    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        if self.inside.fetch_add(1, Ordering::Relaxed) < self.bound {
            return true;
        }
        self.leave();
        false
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a request wasn't let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The node works on as many requests as it may.
    Node,
    /// The function does.
    Function,
}

/// The right to be worked on; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    node: Arc<Gate>,
    function: Arc<Gate>,
}

impl Permit {
    /// Passes both gates or neither.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says which gate was shut.
    pub fn take(node: &Arc<Gate>, function: &Arc<Gate>) -> Result<Self, Refusal> {
        if !node.enter() {
            return Err(Refusal::Node);
        }
        if !function.enter() {
            node.leave();
            return Err(Refusal::Function);
        }
        Ok(Self {
            node: Arc::clone(node),
            function: Arc::clone(function),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.function.leave();
        self.node.leave();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shut_function_gate_gives_the_node_its_place_back() {
        let (node, function) = (Gate::new(10), Gate::new(1));
        let permit = Permit::take(&node, &function).unwrap();
        assert_eq!(
            Permit::take(&node, &function).unwrap_err(),
            Refusal::Function
        );
        assert_eq!(node.inside(), 1);
        drop(permit);
        assert_eq!((node.inside(), function.inside()), (0, 0));
    }

    proptest! {
        #[test]
        fn gates_never_hold_more_than_their_bounds(
            steps in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let (node, function) = (Gate::new(5), Gate::new(3));
            let mut permits = Vec::new();
            for enter in steps {
                if enter {
                    permits.extend(Permit::take(&node, &function));
                } else {
                    permits.pop();
                }
                prop_assert!(permits.len() <= 3);
                prop_assert_eq!(node.inside() as usize, permits.len());
                prop_assert_eq!(function.inside() as usize, permits.len());
            }
        }
    }
}
