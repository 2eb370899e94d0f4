//! Wasmtime: compile, artifacts, resident functions, instances, limits
