//! Whether the kernel can tell which pages an instance dirtied (`PAGEMAP_SCAN`).
//!
//! The scan lets a finished instance's memory be reset page by page instead of whole. It misses
//! dirty pages that were swapped out (Wasmtime issue 14357), so it is used only where swap is off.

/// True on Linux 6.7 and newer with swap off.
pub(crate) fn is_safe_to_scan() -> bool {
    cfg!(target_os = "linux") && kernel_is_at_least(6, 7) && swap_is_off()
}

fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .ok()
        .and_then(|release| parse_release(&release))
        .is_some_and(|have| have >= (major, minor))
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The first line of `/proc/swaps` is its heading: more lines are swap areas in use.
fn swap_is_off() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1)
}

#[cfg(test)]
mod tests {
    use super::parse_release;

    #[test]
    fn kernel_releases_are_read_whatever_follows_the_version() {
        assert_eq!(parse_release("6.18.44-fc-v669\n"), Some((6, 18)));
        assert_eq!(parse_release("5.10.0"), Some((5, 10)));
        assert_eq!(parse_release("mystery"), None);
    }
}
