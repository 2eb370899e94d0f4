//! Does nothing. It is built with the fuzz targets, for whatever has an example is built with the features that tests
//! need: then what both depend on is compiled once.

fn main() {}
