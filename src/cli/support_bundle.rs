//! `palisade support-bundle`: one file for whoever helps, without secrets.

use std::{
    fs::{self, File, OpenOptions},
    io::BufWriter,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{
    doctor::Subject,
    failure::{Exit, Failure, Result},
    output::say,
    runtime,
};
use crate::{
    clock::{Clock, SystemClock},
    doctor::bundle::{self, Extra},
};

/// Arguments of `palisade support-bundle`.
#[derive(Debug, Args)]
pub(super) struct SupportBundleArgs {
    /// The file to be made, which must not exist. Without it: palisade-support-TIME.tar, here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Texts of the running management plane: a JSON list of names and contents.
    #[arg(long, value_name = "FILE", hide = true)]
    extra: Option<PathBuf>,
    #[command(flatten)]
    subject: Subject,
}

pub(super) fn run(args: SupportBundleArgs) -> ExitCode {
    match make(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn make(args: SupportBundleArgs) -> Result<()> {
    let path = args.out.unwrap_or_else(default_name);
    let extra = args.extra.as_deref().map_or_else(|| Ok(Extra::new()), read_extra)?;
    let runtime = runtime::single_threaded()?;
    let (machine, config, targets) = args.subject.resolve();
    let file = create(&path)?;
    let out = BufWriter::new(&file);
    let written =
        runtime.block_on(bundle::write(&machine, &config, &targets, extra, &SystemClock, out));
    // A look that still hangs must not keep the process.
    runtime.shutdown_background();
    let written = written
        .map_err(Failure::from)
        .and_then(|()| file.sync_all().map_err(|error| unwritable(&path, &error)));
    if written.is_err() {
        // Half a bundle helps nobody; an empty file is left at the worst.
        let _ = fs::remove_file(&path);
        return written;
    }
    say(&format!("{} was made. It holds no secrets; read it before you send it.", path.display()));
    Ok(())
}

fn default_name() -> PathBuf {
    let now = SystemClock.now().to_string();
    let time: String = now.chars().take(19).filter(char::is_ascii_digit).collect();
    PathBuf::from(format!("palisade-support-{time}.tar"))
}

fn create(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be written: {error}.", path.display()))
        .with_hint("Name another file with --out; it must not exist yet.")
}

fn read_extra(path: &Path) -> Result<Extra> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("{} cannot be used: {error}.", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| unusable(&error))?;
    serde_json::from_str(&text).map_err(|error| unusable(&error))
}
