//! Store ports, their conformance suite and the embedded engine
