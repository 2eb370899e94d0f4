//! The books of a request that the node answers by itself, from files or from what is kept: no guest's CPU time or memory.

use std::time::{Duration, Instant};

use everwarm_engine::usage::Usage;
use http::StatusCode;

use super::Edge;
use super::visit::Record;
use crate::meter::{AccessEvent, Answerer, RequestId, Start};
use crate::respond::Failure;
use crate::tally::Tally;

/// What is known of it before it is answered.
pub(super) struct OwnBooks<'v> {
    pub(super) record: Option<Record>,
    pub(super) request_id: &'v RequestId,
    pub(super) started: Instant,
}

/// Who answers, and how.
pub(super) struct OwnAnswerer<'t> {
    pub(super) tally: &'t Tally,
    pub(super) answerer: &'t Answerer,
    pub(super) start: Start,
}

impl OwnBooks<'_> {
    /// Counts the request and writes it into the access log.
    pub(super) fn close(
        self,
        edge: &Edge,
        by: &OwnAnswerer<'_>,
        status: StatusCode,
        bytes_out: u64,
        failure: Option<&Failure>,
    ) {
        let usage = Usage {
            cpu: Duration::ZERO,
            wall: self.started.elapsed(),
            memory_peak_bytes: 0,
            bytes_in: 0,
            bytes_out,
            status: Some(status),
            fault: None,
        };
        by.tally.add(by.start, status, &usage);
        if let Some(failure) = failure {
            edge.failures.count(failure.code());
        }
        let Some(record) = self.record else { return };
        let is_the_nodes = matches!(failure, Some(Failure::Files(_)));
        edge.log.record(&AccessEvent {
            request_id: self.request_id.clone(),
            client: record.client,
            method: record.method,
            uri: record.uri,
            status,
            function: Some(by.answerer),
            start: Some(by.start),
            took: usage.wall,
            code: failure.map(Failure::code),
            detail: failure.and_then(Failure::detail_for_log),
            // What is wrong with the node's own files is no tenant's business.
            usage: (!is_the_nodes).then_some(usage),
        });
    }
}
