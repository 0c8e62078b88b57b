//! `palisade keys recover`, `kit` and `seal`: on the data directory of an
//! appliance that is stopped.

use std::{
    fs,
    io::{IsTerminal, Read},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use crate::{
    app::{Offline, Source, check_recovery_kit},
    cli::{
        config::Settings,
        connection::{read, read_secret},
        failure::{Exit, Failure, Result},
        format::{Format, Output},
        output::{emit_raw, say},
        private_file::PrivateFile,
        terminal,
    },
    config::Config,
    error::{Kind, chain},
    keystore::{SealKind, SealMode, Status},
    secret::Secret,
};

/// Where the stopped appliance is.
#[derive(Debug, Args)]
pub(in crate::cli) struct Place {
    #[command(flatten)]
    settings: Settings,
    /// The directory of everything that the appliance writes (`storage.data_dir`).
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// The settings, while nobody has to take the appliance.
    pub(in crate::cli) fn config(self) -> Result<Config> {
        let flags =
            self.data_dir.map(|path| ("storage.data_dir".to_owned(), path.display().to_string()));
        self.settings.load(flags.into_iter().collect()).map_err(|error| {
            Failure::usage(chain(&error), "See which settings count: `palisade config check`.")
        })
    }

    /// Takes the appliance; `renew`: its keystore gets another passphrase.
    pub(in crate::cli) fn take(self, renew: bool) -> Result<Offline> {
        let config = self.config()?;
        let passphrase = terminal::passphrase(&config, renew)?;
        Ok(Offline::new(config, passphrase)?)
    }

    /// Takes the appliance for work that does not open its keystore.
    pub(in crate::cli) fn take_closed(self) -> Result<Offline> {
        Ok(Offline::new(self.config()?, None)?)
    }
}

/// Arguments of `palisade keys recover`.
#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// A file with the recovery kit or its code alone; without it the code is
    /// asked for, or read from standard input.
    #[arg(long, value_name = "FILE")]
    kit_file: Option<PathBuf>,
    /// A sealed copy of the keystore, e.g. `keystore.json` of a backup; without
    /// it the newer one of the keystore's directory and the database is taken.
    #[arg(long, value_name = "FILE")]
    copy: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `palisade keys check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A file with the recovery kit or its code alone; without it the code is
    /// asked for, or read from standard input.
    #[arg(long, value_name = "FILE")]
    kit_file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `palisade keys kit`.
#[derive(Debug, Args)]
pub(super) struct KitArgs {
    /// Write the kit to a new file that only you can read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `palisade keys seal`.
#[derive(Debug, Args)]
pub(super) struct SealArgs {
    #[command(flatten)]
    new: NewSeal,
    #[command(flatten)]
    place: Place,
}

/// Another seal.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct NewSeal {
    /// By a key beside the keystore: it opens by itself.
    #[arg(long = "to-unattended")]
    unattended: bool,
    /// By the key of 32 bytes in this file.
    #[arg(long = "to-key-file", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// By the passphrase in this file, of at least 15 characters.
    #[arg(long = "to-passphrase-file", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) async fn recover(args: RecoverArgs) -> Result<()> {
    let offline = args.place.take(true)?;
    let kit = match &args.kit_file {
        Some(file) => Secret::new(read(file)?),
        None => typed()?,
    };
    let source = match &args.copy {
        None => Source::Newest,
        Some(file) => Source::Copy(fs::read(file).map_err(|error| {
            Failure::usage(
                format!("{} cannot be read: {error}.", file.display()),
                "Name a sealed copy of the keystore.",
            )
        })?),
    };
    let status = offline.recover(source, &kit).await?;
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        return args.output.show_value(&json!({
            "installation": status.installation.to_string(), "recoveryKit": status.kit_number,
        }));
    }
    say(&format!(
        "The keystore of installation {} opens again: {}. The recovery kit {} stays valid.",
        status.installation,
        sealed(&status),
        status.kit_number
    ));
    say("Start the appliance: palisade serve");
    Ok(())
}

/// Needs nobody's permission and no stopped appliance: whoever has the kit and
/// can read the keystore could do everything anyway.
pub(super) async fn check(args: CheckArgs) -> Result<()> {
    let kit = match &args.kit_file {
        Some(file) => Secret::new(read(file)?),
        None => typed()?,
    };
    let checked = check_recovery_kit(&args.place.config()?, &kit).await;
    // Whoever asks wants to know whether this kit counts: a mistyped one does not.
    let info = checked.map_err(|error| match error.kind() {
        Kind::Invalid => Failure::new(Exit::NotAllowed, error.chain())
            .with_hint(error.hint().unwrap_or_default()),
        _ => error.into(),
    })?;
    say(&format!(
        "This is recovery kit {} of installation {}.",
        info.kit_number, info.installation
    ));
    Ok(())
}

pub(super) async fn kit(args: KitArgs) -> Result<()> {
    let file = args.out.as_deref().map(PrivateFile::create).transpose()?;
    let kit = args.place.take(false)?.new_recovery_kit().await?;
    say(&format!("This is recovery kit {}. It replaces every earlier one.", kit.number()));
    if let Some(file) = file {
        return file.write(kit.text().expose());
    }
    say("Print it and lock it away: it is not shown again.");
    emit_raw(kit.text().expose())
}

pub(super) async fn seal(args: SealArgs) -> Result<()> {
    let (mode, settings) = match (args.new.key_file, args.new.passphrase_file) {
        (Some(file), _) => {
            let settings = format!("keystore.seal_key_file = {:?}", file.display().to_string());
            (SealMode::KeyFile(file), settings)
        }
        (_, Some(file)) => {
            let settings = format!(
                "keystore.seal = \"passphrase\" and keystore.passphrase_file = {:?}",
                file.display().to_string()
            );
            (SealMode::Passphrase(read_secret(&file)?), settings)
        }
        _ => (SealMode::Unattended, "keystore.seal = \"unattended\"".to_owned()),
    };
    let status = args.place.take(false)?.change_seal(mode).await?;
    say(&format!("The keystore is {}. Set {settings}.", sealed(&status)));
    Ok(())
}

fn sealed(status: &Status) -> &'static str {
    match status.seal {
        SealKind::Unattended => "sealed by a key file",
        SealKind::Passphrase => "sealed by a passphrase",
    }
}

/// The code as a person types it, up to an empty line, or all of standard input.
fn typed() -> Result<Secret<String>> {
    let stdin = std::io::stdin();
    let mut text = String::with_capacity(8_192);
    let done = if stdin.is_terminal() {
        say("Type the recovery code, in one line or several, and then an empty line:");
        loop {
            let before = text.len();
            match stdin.read_line(&mut text) {
                Ok(0) => break Ok(()),
                Ok(_) if text[before..].trim().is_empty() => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        }
    } else {
        stdin.lock().take(64 * 1024).read_to_string(&mut text).map(drop)
    };
    done.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok(Secret::new(text))
}
