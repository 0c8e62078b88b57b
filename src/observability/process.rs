//! What the kernel says of this process, read from `/proc/self`.
//!
//! Owns: parsing those files.
//! Must not know: how the numbers are published.

use std::fs;

/// The kernel reports processor time in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Numbers of this process; `None` where the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Resident memory.
    pub(super) resident_bytes: Option<f64>,
    /// Processor time of all threads, user and system.
    pub(super) cpu_seconds: Option<f64>,
    /// Open files and sockets.
    pub(super) open_files: Option<f64>,
    /// How many may be open.
    pub(super) open_files_limit: Option<f64>,
    /// Threads.
    pub(super) threads: Option<f64>,
}

impl Process {
    /// Reads the numbers of the running process.
    pub(super) fn read() -> Self {
        let text =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (status, limits) = (text("status"), text("limits"));
        Self {
            resident_bytes: number_after(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024.0),
            cpu_seconds: cpu_seconds(&text("stat")),
            // The directory is open while it is read, and lists itself.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| entries.count().saturating_sub(1) as f64),
            open_files_limit: number_after(&limits, "Max open files"),
            threads: number_after(&status, "Threads:"),
        }
    }
}

/// The first number on the line that starts with `name`.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time out of `/proc/self/stat`. The name of the program is
/// in parentheses and may contain anything, parentheses included.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_process_has_memory_time_files_and_threads() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1_000_000.0));
        assert!(process.cpu_seconds.is_some());
        assert!(process.open_files.is_some_and(|files| files >= 3.0));
        assert!(process.open_files_limit >= process.open_files);
        assert!(process.threads.is_some_and(|threads| threads >= 1.0));
    }

    #[test]
    fn a_program_with_parentheses_in_its_name_is_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }
}
