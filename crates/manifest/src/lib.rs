//! everwarm.toml to a valid App; pure, no IO
