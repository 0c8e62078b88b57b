//! `palisade config …`: looking at the settings without starting anything.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::output::{print, say};
use crate::config::{Config, ConfigError, Sources, sample};

/// Arguments of `palisade config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check file, environment and flags, and say where each setting comes from.
    Check(Settings),
    /// Print a commented sample file.
    Sample,
}

/// Where settings come from; flags win over the environment, the environment over the file.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The settings file.
    #[arg(long, short, value_name = "FILE", env = "PALISADE_CONFIG")]
    config: Option<PathBuf>,
    /// One setting, e.g. `--set server.fqdn=palisade.example.com`. Can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Settings {
    /// The same, with a file that is read if none is named and it exists.
    pub(super) fn or_file(mut self, file: PathBuf) -> Self {
        self.config = self.config.or_else(|| file.exists().then_some(file));
        self
    }

    /// Loads the configuration; `flags` are further settings from other flags.
    pub(super) fn load(self, flags: Vec<(String, String)>) -> Result<Config, ConfigError> {
        let mut overrides = self.set;
        overrides.extend(flags);
        Config::load(Sources::of_process(self.config, overrides))
    }
}

/// Says what is wrong with the settings. Usage errors end with 2.
pub(super) fn refuse(error: &ConfigError) -> ExitCode {
    say(&format!("error: {}", crate::error::chain(error)));
    ExitCode::from(2)
}

pub(super) fn run(args: ConfigArgs) -> ExitCode {
    match args.command {
        ConfigCommand::Check(settings) => match settings.load(Vec::new()) {
            Ok(config) => print(&config.describe()),
            Err(error) => refuse(&error),
        },
        ConfigCommand::Sample => print(&sample()),
    }
}
