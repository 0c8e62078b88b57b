//! What a process has used, and the statistics over repeated measurements.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// The processor time of all threads of all `processes` so far. Threads that
/// have ended are not in it: keep rounds shorter than the life of threads.
pub(crate) fn cpu(processes: &[u32]) -> Result<Duration> {
    let mut nanos = 0;
    for process in processes {
        let tasks = format!("/proc/{process}/task");
        for task in fs::read_dir(&tasks).with_context(|| format!("process {process} has ended"))? {
            // A thread may end while we look.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let running = text.split_whitespace().next().context("an empty schedstat")?;
            nanos += running.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// The processor time of the calling thread.
pub(crate) fn own_cpu() -> Result<Duration> {
    // The kernel brings the account of a running thread up to date when it yields.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let running = text.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(running.parse()?))
}

/// A field of `/proc/PID/status` in KiB, summed over `processes`.
pub(crate) fn memory(processes: &[u32], field: &str) -> Result<u64> {
    let mut sum = 0;
    for process in processes {
        let text = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next());
        sum += number.with_context(|| format!("no {field} of {process}"))?.parse::<u64>()?;
    }
    Ok(sum)
}

/// Makes `VmHWM` of a process count from now on.
pub(crate) fn forget_peak(process: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{process}/clear_refs"), "5")?)
}

/// The processes that `parent` has started and that still run.
pub(crate) fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(text) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
        // The name in brackets may hold anything; the state and the parent follow it.
        let after = text.rsplit_once(") ").map(|(_, after)| after);
        let its_parent = after.and_then(|after| after.split(' ').nth(1)?.parse::<u32>().ok());
        if its_parent == Some(parent) {
            found.push(process);
        }
    }
    Ok(found)
}

/// The load average of the last minute.
pub(crate) fn load_average() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// The same quantity, measured again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn least(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn most(&self) -> f64 {
        self.quantile(1.0)
    }

    /// The smallest value that at least this share of all values does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is small and positive"
        )]
        let place = rank as usize - 1;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Microseconds of `time` for each of `operations`.
pub(crate) fn micros_each(time: Duration, operations: usize) -> f64 {
    time.as_secs_f64() * 1e6 / operations as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_extremes_are_values_that_were_measured() {
        let samples: Samples = [5.0, 1.0, 4.0, 2.0, 3.0].into_iter().collect();
        assert_eq!((samples.least(), samples.median(), samples.most()), (1.0, 3.0, 5.0));
        assert!(samples.quantile(0.95) > 4.9);
    }

    #[test]
    fn a_busy_thread_uses_processor_time_and_a_sleeping_one_does_not() {
        let begun = std::time::Instant::now();
        let before = own_cpu().unwrap();
        while begun.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let busy = own_cpu().unwrap().saturating_sub(before);
        assert!(busy > Duration::from_millis(10) && busy <= begun.elapsed(), "{busy:?}");
    }
}
