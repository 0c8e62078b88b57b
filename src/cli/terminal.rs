//! Asking a person, where there is one.
//!
//! Nothing is ever asked without a terminal; the caller says what to use instead.

use std::io::{IsTerminal, Write};

use super::failure::{Exit, Failure, Result};
use crate::{
    config::{Config, Seal},
    keystore::Keystore,
    secret::Secret,
};

/// Whether somebody can be asked.
pub(super) fn is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for something that is not shown.
pub(super) fn secret(question: &str) -> Result<Secret<String>> {
    rpassword::prompt_password(question).map(Secret::new).map_err(|error| {
        Failure::usage(
            format!("The terminal cannot be asked: {error}."),
            "Name a file that holds the secret instead.",
        )
    })
}

/// The same twice, for something new.
pub(super) fn new_secret(question: &str) -> Result<Secret<String>> {
    let (first, again) = (secret(question)?, secret("Once more: ")?);
    if first.expose() == again.expose() {
        return Ok(first);
    }
    Err(Failure::usage("The two are not the same.", "Try once more."))
}

/// Asks for a line. The question goes to standard error: standard output is for data.
pub(super) fn line(question: &str) -> Result<String> {
    let mut line = String::new();
    let asked = std::io::stderr()
        .write_all(question.as_bytes())
        .and_then(|()| std::io::stdin().read_line(&mut line));
    match asked {
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
    }
}

/// The keystore's passphrase, when the settings want one and name no file; with
/// `renew` the one that it will have.
pub(super) fn passphrase(config: &Config, renew: bool) -> Result<Option<Secret<String>>> {
    let keystore = &config.keystore;
    if keystore.seal != Seal::Passphrase || keystore.passphrase_file.is_some() || !is_there() {
        return Ok(None);
    }
    if renew || !Keystore::exists(&keystore.dir) {
        return new_secret("A new passphrase for the keystore, at least 15 characters: ").map(Some);
    }
    secret("Passphrase of the keystore: ").map(Some)
}
