//! How a body ended: the future of its trailers. An end owns its handle, and the memory that the host
//! copies from or to while a copy goes on.

use std::task::{Context, Poll, ready};

use super::super::waits::Wait;
use super::resources::{drop_text, word};
use super::{
    BLOCKED, Copied, End, Fields, TrailersArea, ends, layout, trailers_cancel_read,
    trailers_drop_readable, trailers_drop_writable, trailers_new, trailers_read, trailers_write,
};

/// `ok(none)`
static WHOLE: TrailersArea = TrailersArea([0; layout::TRAILERS_RESULT]);
/// `err(internal-error(none))`
static BROKEN: TrailersArea = {
    let mut area = [0; layout::TRAILERS_RESULT];
    area[0] = 1;
    area[layout::TRAILERS_OPTION] = layout::INTERNAL_ERROR;
    TrailersArea(area)
};

/// The trailers of a body that is read.
pub(in super::super) struct TrailersReader {
    wait: Wait,
    /// What the host may write to while it is there.
    area: Option<Box<TrailersArea>>,
}

/// The body was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct CutShort;

impl TrailersReader {
    /// Takes over a handle.
    pub(super) fn of(handle: u32) -> Self {
        Self {
            wait: Wait::new(handle),
            area: None,
        }
    }

    /// The trailers, once. A read that is not over goes on when its future is dropped, and ends with
    /// `self`.
    pub(in super::super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Fields>, CutShort>> {
        if self.area.is_none() {
            let area = Box::new(TrailersArea([0; layout::TRAILERS_RESULT]));
            let area = self.area.insert(area);
            // SAFETY: the area is owned and left alone until the copy has ended: see `drop`.
            let code = unsafe { trailers_read(self.wait.handle(), &raw mut **area) };
            if code != BLOCKED {
                return Poll::Ready(self.taken(code));
            }
            self.wait.begin();
        }
        let code = ready!(self.wait.poll(context));
        Poll::Ready(self.taken(code))
    }

    /// What a copy that ended with this code has left in the area.
    fn taken(&mut self, code: u32) -> Result<Option<Fields>, CutShort> {
        let area = self.area.take().ok_or(CutShort)?.0;
        if Copied::of(code).end != End::Open {
            return Err(CutShort);
        }
        if area[0] == 0 {
            let some = area[layout::TRAILERS_OPTION] == 1;
            return Ok(some.then(|| Fields::of(word(&area, layout::TRAILERS_HANDLE))));
        }
        let case = area[layout::TRAILERS_OPTION];
        let (optional, option) = layout::ERROR_TEXT_IN_OPTION;
        let texts = layout::ERROR_TEXTS.into_iter();
        for (_, place) in texts.filter(|(with_text, _)| *with_text == case) {
            if case != optional || area[option] == 1 {
                // SAFETY: the host wrote this case, whose text nobody else takes.
                unsafe { drop_text(&area, place) };
            }
        }
        Err(CutShort)
    }
}

impl Drop for TrailersReader {
    fn drop(&mut self) {
        if self.area.is_some() {
            let ended = self.wait.leave();
            let handle = self.wait.handle();
            let code = ended.unwrap_or_else(|| trailers_cancel_read(handle));
            drop(self.taken(code));
        }
        trailers_drop_readable(self.wait.handle());
    }
}

/// The trailers of a body that is written. A future has to be written before it is dropped, so one that
/// nobody wrote says that its body broke off.
pub(in super::super) struct TrailersWriter {
    wait: Wait,
    made: Option<Box<TrailersArea>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// The host may read what was written, which is not let go of meanwhile.
    Copying,
    Done,
}

impl TrailersWriter {
    /// A writer, and the handle of the readable end.
    pub(in super::super) fn new() -> (u32, Self) {
        let (readable, writable) = ends(trailers_new());
        let writer = Self {
            wait: Wait::new(writable),
            made: None,
            state: State::New,
        };
        (readable, writer)
    }

    /// Says how the body ended, and waits until the host has heard it.
    pub(in super::super) async fn write(mut self, end: Result<Option<Fields>, CutShort>) {
        match end {
            Ok(None) => self.begin(Some(&WHOLE)),
            Err(CutShort) => self.begin(Some(&BROKEN)),
            Ok(Some(fields)) => {
                let mut area = Box::new(TrailersArea([0; layout::TRAILERS_RESULT]));
                area.0[layout::TRAILERS_OPTION] = 1;
                let handle = fields.into_handle().to_le_bytes();
                area.0[layout::TRAILERS_HANDLE..][..handle.len()].copy_from_slice(&handle);
                self.made = Some(area);
                self.begin(None);
            }
        }
        std::future::poll_fn(|context| self.poll_written(context)).await;
    }

    /// Starts to write what is fixed, or else what was made.
    fn begin(&mut self, fixed: Option<&'static TrailersArea>) {
        let area: *const TrailersArea = match (fixed, &self.made) {
            (Some(fixed), _) => fixed,
            (None, Some(made)) => &raw const **made,
            (None, None) => &raw const BROKEN,
        };
        // SAFETY: what is fixed lives for ever, and what was made until the copy has ended: see `drop`.
        let code = unsafe { trailers_write(self.wait.handle(), area) };
        if code == BLOCKED {
            self.state = State::Copying;
            self.wait.begin();
        } else {
            self.end(code);
        }
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.state == State::Copying {
            let code = ready!(self.wait.poll(context));
            self.end(code);
        }
        Poll::Ready(())
    }

    fn end(&mut self, code: u32) {
        self.state = State::Done;
        if let Some(area) = self.made.take()
            && Copied::of(code).end != End::Open
        {
            // Nobody has taken them.
            drop(Fields::of(word(&area.0, layout::TRAILERS_HANDLE)));
        }
    }
}

impl Drop for TrailersWriter {
    fn drop(&mut self) {
        if self.state == State::New {
            self.begin(Some(&BROKEN));
        }
        if self.state == State::Copying
            && let Some(code) = self.wait.leave()
        {
            self.end(code);
        }
        if self.state == State::Done {
            trailers_drop_writable(self.wait.handle());
        } else {
            // The host has still to hear how the body ended: what it reads stays, and the handle goes
            // with the instance.
            std::mem::forget(self.made.take());
        }
    }
}
