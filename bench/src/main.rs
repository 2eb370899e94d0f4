//! The benchmark: servers, load, pairs, table

fn main() {}
