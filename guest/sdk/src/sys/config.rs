//! `wasi:config`, which both WASI versions have alike. A function that asks for nothing imports nothing of it.

mod layout;

use super::abi::{self, List, host, text};
use crate::config::ConfigError;

host! {
    #[module = "wasi:config/store@0.2.0-rc.1"] {
        #[name = "get"] unsafe fn get(*const u8, usize, *mut Area);
        #[name = "get-all"] unsafe fn get_all(*mut Area);
    }
}

/// `result<option<string>, error>` and `result<list<tuple<string, string>>, error>`.
type Area = abi::Area<{ layout::RESULT }>;

/// The error, if it is one.
///
/// # Safety
/// The host wrote one of the two, and the error is taken once.
unsafe fn check(area: Area) -> Result<Area, ConfigError> {
    if area.case(0) == 0 {
        return Ok(area);
    }
    // SAFETY: both cases carry a text.
    let text = unsafe { area.string(layout::TEXT) };
    Err(ConfigError::of_case(area.case(layout::VALUE), text))
}

pub(crate) fn config_get(name: &str) -> Result<Option<String>, ConfigError> {
    // SAFETY: the name and the area live as long as the call; what the host returns is taken once.
    unsafe {
        let area = check(Area::fill(|area| get(name.as_ptr(), name.len(), area)))?;
        let is_there = area.case(layout::VALUE) == 1;
        Ok(is_there.then(|| area.string(layout::TEXT)))
    }
}

pub(crate) fn config_get_all() -> Result<Vec<(String, String)>, ConfigError> {
    // SAFETY: the area lives as long as the call; two texts lie as a field's name and value do.
    let entries = unsafe {
        let area = check(Area::fill(|area| get_all(area)))?;
        let list = List {
            start: area.word(layout::VALUE) as usize,
            len: area.word(layout::VALUE + 4) as usize,
        };
        list.entries()
    };
    Ok(entries
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}
