//! The `sqlite3` program, kept open, so that its processor time can be read.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::measure::cpu;

/// Says that everything before it is done.
const DONE: &str = "--done--";

/// One session of `sqlite3`.
#[derive(Debug)]
pub(crate) struct Sqlite {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What a script cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) took: Duration,
}

impl Sqlite {
    /// Opens `database`; `options` go to the program.
    pub(crate) fn open(database: &Path, options: &[&str]) -> Result<Self> {
        let mut child = Command::new("sqlite3")
            .args(["-batch", "-bail"])
            .args(options)
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sqlite3")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, input, output })
    }

    /// Runs a script to its end; what it prints is read and forgotten.
    pub(crate) fn run(&mut self, script: &str) -> Result<Cost> {
        let process = [self.child.id()];
        let (begun, before) = (Instant::now(), cpu(&process)?);
        let input = self.input.as_mut().context("sqlite3 was closed")?;
        let text = format!("{script}\n.print {DONE}\n");
        // It reads while it works: write from another thread, or both wait for ever.
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                input.write_all(text.as_bytes())?;
                input.flush()
            });
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = self.output.read_until(b'\n', &mut line)?;
                ensure!(read > 0, "sqlite3 has stopped: an error in the script");
                if line.strip_suffix(b"\n") == Some(DONE.as_bytes()) {
                    break;
                }
            }
            writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
            Ok(())
        })?;
        let cpu = cpu(&process)?.saturating_sub(before);
        Ok(Cost { cpu, took: begun.elapsed() })
    }

    /// What a query answers.
    pub(crate) fn answer(database: &Path, query: &str) -> Result<String> {
        let output = Command::new("sqlite3").arg("-batch").arg(database).arg(query).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The same line again and again.
    pub(crate) fn repeat(line: &str, times: usize) -> String {
        let mut script = String::with_capacity((line.len() + 1) * times);
        for _ in 0..times {
            let _ = writeln!(script, "{line}");
        }
        script
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.input = None; // the end of its input is its end
        let _ = self.child.wait();
    }
}
