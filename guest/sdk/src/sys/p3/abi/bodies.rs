//! How a body ended: the future of its trailers. An end owns its handle, and the memory that the host
//! copies from or to while a copy goes on.

use std::task::{Context, Poll, ready};

use super::super::super::error_code::{INTERNAL_ERROR, RESPONSE_INCOMPLETE};
use super::super::waits::Wait;
use super::{
    BLOCKED, CodeArea, Copied, End, Fields, HostCode, ends, layout, trailers_cancel_read,
    trailers_drop_readable, trailers_drop_writable, trailers_new, trailers_read, trailers_write,
    word,
};

/// `ok(none)`
static WHOLE: CodeArea = CodeArea::new();
/// `err(internal-error(none))`
static BROKEN: CodeArea = {
    let mut area = CodeArea::new();
    area.0[0] = 1;
    area.0[layout::CODE_VALUE] = INTERNAL_ERROR;
    area
};

/// The trailers of a body that is read.
pub(in super::super) struct TrailersReader {
    wait: Wait,
    /// What the host may write to while it is there.
    area: Option<Box<CodeArea>>,
}

/// A body that is written was cut short.
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
    ) -> Poll<Result<Option<Fields>, HostCode>> {
        if self.area.is_none() {
            let area = Box::new(CodeArea::new());
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
    fn taken(&mut self, code: u32) -> Result<Option<Fields>, HostCode> {
        let cut_short = || HostCode::of(RESPONSE_INCOMPLETE);
        let area = self.area.take().ok_or_else(cut_short)?;
        if Copied::of(code).end != End::Open {
            return Err(cut_short());
        }
        // SAFETY: the host has written it, and nobody else takes it.
        let value = unsafe { area.value()? };
        Ok((value[0] == 1).then(|| Fields::of(word(&area.0, layout::TRAILERS_HANDLE))))
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
    made: Option<Box<CodeArea>>,
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
        self.put(end);
        std::future::poll_fn(|context| self.poll_written(context)).await;
    }

    /// Says how the body ended, once.
    pub(in super::super) fn put(&mut self, end: Result<Option<Fields>, CutShort>) {
        match end {
            Ok(None) => self.begin(Some(&WHOLE)),
            Err(CutShort) => self.begin(Some(&BROKEN)),
            Ok(Some(fields)) => {
                let mut area = Box::new(CodeArea::new());
                area.0[layout::CODE_VALUE] = 1;
                let handle = fields.into_handle().to_le_bytes();
                area.0[layout::TRAILERS_HANDLE..][..handle.len()].copy_from_slice(&handle);
                self.made = Some(area);
                self.begin(None);
            }
        }
    }

    /// Starts to write what is fixed, or else what was made.
    fn begin(&mut self, fixed: Option<&'static CodeArea>) {
        let area: *const CodeArea = match (fixed, &self.made) {
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

    /// Is ready once the host has heard what was put.
    pub(in super::super) fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<()> {
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
