//! `palisade audit …`: proving an export without the appliance.

use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::output::{fail, print, say};
use crate::{
    audit::{Verdict, verify_export},
    error::{Error, Kind, Result},
};

/// Arguments of `palisade audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Verify an export (`/v1/audit/export.jsonl`) offline.
    Verify {
        /// The export.
        file: PathBuf,
        /// The installation's public audit key in hex, known from elsewhere.
        /// Without it the export is only checked against the key that it names itself.
        #[arg(long, value_name = "HEX")]
        public_key: Option<String>,
    },
}

pub(super) fn run(args: AuditArgs) -> ExitCode {
    let AuditCommand::Verify { file, public_key } = args.command;
    let trusted = public_key.is_some();
    match verify(&file, public_key) {
        Ok(Verdict { first_bad: Some(finding), .. }) => {
            let record = finding.record.map(|uid| format!(", record {uid}")).unwrap_or_default();
            say(&format!("not whole: position {}{record}: {}", finding.position, finding.reason));
            ExitCode::FAILURE
        }
        Ok(verdict) => {
            if !trusted {
                say("note: without --public-key this proves only that the export fits its own key");
            }
            print(&format!("whole: {} records", verdict.records))
        }
        Err(error) => fail(&error),
    }
}

fn verify(file: &PathBuf, public_key: Option<String>) -> Result<Verdict> {
    let key = public_key.map(|hex| {
        data_encoding::HEXLOWER_PERMISSIVE
            .decode(hex.trim().as_bytes())
            .ok()
            .and_then(|key| key.try_into().ok())
            .ok_or_else(|| Error::invalid("--public-key", "must be 64 hexadecimal characters"))
    });
    let opened = File::open(file).map_err(|error| {
        let message = format!("{} cannot be read: {error}.", file.display());
        Error::new(Kind::Invalid, "unreadable", message)
    })?;
    verify_export(BufReader::new(opened), key.transpose()?)
}
