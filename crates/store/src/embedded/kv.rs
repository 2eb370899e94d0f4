//! Key-value data in SQLite.
//!
//! Owns what its file ([`Grouped`]) is called in errors. What is read and written is in `read`, `write`, `books` and
//! `sweep`, the port in `port`.

use super::database::Tables;
use super::grouped::{Data, Grouped, Words, fails};
use crate::kv::KvError;

mod books;
mod port;
mod read;
mod sweep;
mod tables;
mod write;

pub(super) use tables::TABLES;

/// The engine of key-value data.
pub(super) type Kv = Grouped<Entries>;

/// What is in the file.
#[derive(Debug)]
pub(super) struct Entries;

impl Data for Entries {
    const NAME: &'static str = "key-value data";
    const WORDS: Words = Words {
        read: "read key-value data",
        change: "change key-value data",
        copy: "copy its key-value data",
    };
    const THREAD: &'static str = "store-kv";
    const COPY_THREAD: &'static str = "store-kv-copy";
    const TABLES: &'static Tables = &TABLES;
    type Error = KvError;
}

fails!(KvError);
