//! Composition root of one node
