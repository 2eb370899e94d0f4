//! What is known of one request while it is on its way, and the access event that comes of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use everwarm_cache::entry::SERVER_TIMING;
use everwarm_cache::field::FieldText;
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::own::Own;
use everwarm_engine::request::{MoreFields, Request};
use everwarm_engine::resident::StartLevel;
use everwarm_engine::usage::{OnEnd, Usage};
use http::{Method, Response, StatusCode, Uri};

use super::{Asked, Edge, Target};
use crate::admission::{Permit, Toll};
use crate::head::{self, Arrival};
use crate::meter::{AccessEvent, Answerer, RequestId, Start};
use crate::respond::Failure;

/// What is known of a request while it is on its way.
pub(super) struct Visit {
    pub(super) request_id: RequestId,
    /// Why it can't be served, until that is told.
    pub(super) refused: Option<Failure>,
    /// What the function is told besides, until it has been.
    pub(super) more: Option<MoreFields>,
    pub(super) started: Instant,
    /// What it has yet to pay to come in: nothing a second time.
    pub(super) toll: Toll,
    /// `None` once the books have it: from then on they make the access event.
    record: Option<Record>,
    pub(super) reached: Reached,
    pub(super) start_level: Option<StartLevel>,
}

/// The function that a request has reached.
#[derive(Default)]
pub(super) struct Reached {
    /// It didn't let the request in.
    refused_by: Option<Answerer>,
    /// It did, and there are no books yet.
    inside: Option<Permit<Asked>>,
}

impl Reached {
    pub(super) fn enter(
        &mut self,
        edge: &Own<Edge>,
        target: Arc<Target>,
        toll: &mut Toll,
    ) -> Result<&Asked, Failure> {
        let edge = edge.clone();
        match Permit::take(Asked { edge, target }, *toll) {
            Ok(permit) => {
                *toll = Toll::Paid;
                Ok(self.inside.insert(permit).gated())
            }
            Err((refusal, asked)) => {
                self.refused_by = Some(asked.target.answerer.clone());
                Err(Failure::Refused(refusal))
            }
        }
    }

    /// Files were reached, and refused the request or have no answer.
    pub(super) fn refused_by(&mut self, answerer: &Answerer) {
        self.refused_by = Some(answerer.clone());
    }

    fn answerer(&self) -> Option<&Answerer> {
        let inside = self.inside.as_ref();
        let inside = inside.map(|permit| &permit.gated().target.answerer);
        inside.or(self.refused_by.as_ref())
    }
}

/// What an access event says of a request's head.
pub(super) struct Record {
    pub(super) client: Option<IpAddr>,
    pub(super) method: Method,
    pub(super) uri: Uri,
}

impl Visit {
    pub(super) fn begin(arrival: Arrival, request: &Request) -> Self {
        let started = Instant::now();
        Self {
            request_id: arrival.request_id,
            refused: arrival.refused,
            more: Some(arrival.more),
            started,
            toll: Toll::Due(started),
            record: Some(Record {
                client: arrival.client,
                method: request.method().clone(),
                uri: request.uri().clone(),
            }),
            reached: Reached::default(),
            start_level: None,
        }
    }

    /// From now on the function is told nothing of who asked: its answer may be somebody else's too.
    pub(super) fn withhold_client(&mut self) {
        let Some(more) = self.more.take() else { return };
        let own_id = RequestId::new(self.request_id.number(), None);
        self.more = Some(Box::new(move |headers| {
            more(headers);
            headers.remove(&head::FORWARDED_FOR);
            headers.insert(head::REQUEST_ID, own_id.field());
            // Nor of the trace that it was sent in. What the function sends is a part of that all the same.
            head::say_trace(headers, &own_id);
        }));
    }

    /// What the access event says of the head: whoever takes it makes the event.
    pub(super) fn take_record(&mut self) -> Option<Record> {
        self.record.take()
    }

    /// Whether the access event is still to be made by whoever answers.
    pub(super) fn has_books(&self) -> bool {
        self.record.is_some()
    }

    /// The access event is made when the books close; the permit is given back then too.
    pub(super) fn hand_over_books(&mut self) -> OnEnd {
        let record = self.record.take();
        let permit = self.reached.inside.take();
        let (request_id, start_level) = (self.request_id.clone(), self.start_level);
        Box::new(move |usage: Usage| {
            let (Some(record), Some(permit)) = (record, permit) else {
                return;
            };
            let Asked { edge, target } = permit.give_back();
            let failure = usage.fault.clone().map(Failure::Guest);
            if let Some(failure) = &failure {
                edge.failures.count(failure.code());
            }
            let status = usage
                .status
                .or_else(|| failure.as_ref().map(Failure::status))
                .unwrap_or(StatusCode::OK);
            if let Some(start_level) = start_level {
                target.tally.add(start_level.into(), status, &usage);
            }
            edge.log.record(&AccessEvent {
                request_id,
                client: record.client,
                method: record.method,
                uri: record.uri,
                status,
                function: Some(&target.answerer),
                start: start_level.map(Start::from),
                took: usage.wall,
                code: failure.as_ref().map(Failure::code),
                detail: failure.as_ref().and_then(Failure::detail_for_log),
                usage: Some(usage),
            });
        })
    }

    /// The request failed before there were books.
    pub(super) fn record_failure(&mut self, edge: &Edge, status: StatusCode, failure: &Failure) {
        let Some(record) = self.record.take() else {
            return;
        };
        edge.failures.count(failure.code());
        edge.log.record(&AccessEvent {
            request_id: self.request_id.clone(),
            client: record.client,
            method: record.method,
            uri: record.uri,
            status,
            function: self.reached.answerer(),
            start: self.start_level.map(Start::from),
            took: self.started.elapsed(),
            code: Some(failure.code()),
            detail: failure.detail_for_log(),
            usage: None,
        });
    }

    /// `Server-Timing` (W3C Server Timing, section 3): how the request started, and how long it
    /// took to the head.
    pub(super) fn add_server_timing(&self, response: &mut Response<GuestBody>, start: Start) {
        let took_us = self.started.elapsed().as_micros();
        let took_us = u64::try_from(took_us).unwrap_or(u64::MAX);
        let mut text = FieldText::default();
        text.push("everwarm;desc=\"");
        text.push(start.as_str());
        text.push("\";dur=");
        // By hand: this is on every request, and formatting a float was 1 % of one.
        text.number(took_us / 1_000);
        text.push(".");
        text.push(&itoa::Buffer::new().format(1_000 + took_us % 1_000)[1..]);
        let headers = response.headers_mut();
        // What is kept has a place for it.
        match headers.get_mut(SERVER_TIMING) {
            Some(place) if place.is_empty() => *place = text.value(),
            _ => {
                headers.append(SERVER_TIMING, text.value());
            }
        }
    }
}
