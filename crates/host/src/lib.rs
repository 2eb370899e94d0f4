//! Capabilities of guests, one file each
