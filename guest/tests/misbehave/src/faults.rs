//! Faults that end the instance, or should.

use everwarm_sdk::{IntoResponse, Response};

use crate::Query;

pub(crate) fn answer(path: &str, query: &Query) -> Option<Response> {
    match path {
        "/trap" => trap(),
        "/panic" => panic!("the guest was asked to panic"),
        "/loop" => endless_loop(),
        "/memory-bomb" => memory_bomb(),
        "/memory" => Some(hold(query.number("mib", 16)).into_response()),
        "/stack-overflow" => Some(recurse(u64::MAX).to_string().into_response()),
        "/exit" => std::process::exit(3),
        "/pending" => never_wakes(),
        _ => None,
    }
}

fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort()
}

pub(crate) fn endless_loop() -> ! {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Takes memory, a page at a time and touched, until there is none.
fn memory_bomb() -> ! {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

fn hold(mib: usize) -> String {
    let held = std::hint::black_box(vec![1u8; mib << 20]);
    format!("{}\n", held.len())
}

fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == 0 {
        return frame[0];
    }
    recurse(depth - 1) + frame[1]
}

fn never_wakes() -> ! {
    #[cfg(target_family = "wasm")]
    loop {
        std::thread::sleep(std::time::Duration::from_hours(1));
    }
    #[cfg(not(target_family = "wasm"))]
    std::process::abort()
}
