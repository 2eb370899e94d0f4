//! The Everwarm command line

fn main() {}
