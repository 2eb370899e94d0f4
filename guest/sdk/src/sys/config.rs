//! `wasi:config`, which both WASI versions have alike. A function that asks for nothing imports nothing of it.

mod layout;

use super::abi::{List, host, owned, text, word};
use crate::config::ConfigError;

host! {
    #[module = "wasi:config/store@0.2.0-rc.1"] {
        #[name = "get"] unsafe fn get(*const u8, usize, *mut Area);
        #[name = "get-all"] unsafe fn get_all(*mut Area);
    }
}

/// `result<option<string>, error>` and `result<list<tuple<string, string>>, error>`.
#[repr(C, align(4))]
struct Area([u8; layout::RESULT]);

impl Area {
    fn fill(call: impl FnOnce(*mut Self)) -> Self {
        let mut area = Self([0; layout::RESULT]);
        call(&raw mut area);
        area
    }

    /// Two words: where a text or list begins, and how long it is.
    fn list(&self, place: usize) -> List {
        List {
            start: word(&self.0, place) as usize,
            len: word(&self.0, place + 4) as usize,
        }
    }

    /// The error, if it is one.
    fn check(&self) -> Result<(), ConfigError> {
        if self.0[0] == 0 {
            return Ok(());
        }
        let case = self.0[layout::VALUE];
        Err(ConfigError::of_case(case, self.text()))
    }

    /// The text of an optional one, or of an error.
    fn text(&self) -> String {
        let List { start, len } = self.list(layout::TEXT);
        // SAFETY: the host wrote it there, and each result is taken once.
        text(unsafe { owned(start, len) })
    }
}

pub(crate) fn config_get(name: &str) -> Result<Option<String>, ConfigError> {
    // SAFETY: the name and the area live as long as the call.
    let area = Area::fill(|area| unsafe { get(name.as_ptr(), name.len(), area) });
    area.check()?;
    let is_there = area.0[layout::VALUE] == 1;
    Ok(is_there.then(|| area.text()))
}

pub(crate) fn config_get_all() -> Result<Vec<(String, String)>, ConfigError> {
    // SAFETY: the area lives as long as the call.
    let area = Area::fill(|area| unsafe { get_all(area) });
    area.check()?;
    // SAFETY: the host returned it, and two texts lie as a field's name and value do.
    let entries = unsafe { area.list(layout::VALUE).entries() };
    Ok(entries
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}
