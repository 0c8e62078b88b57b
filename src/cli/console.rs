//! `palisade console`: the machine's own screen.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    output::{fail, print},
    runtime,
};
use crate::{console, node::paths::Paths};

/// Arguments of `palisade console`.
#[derive(Debug, Args)]
pub(super) struct ConsoleArgs {
    /// Print one picture of the screen as plain text and end.
    #[arg(long)]
    once: bool,
    /// Columns of that picture.
    #[arg(long, value_name = "COLUMNS", default_value_t = 80, requires = "once")]
    width: u16,
    /// Rows of that picture.
    #[arg(long, value_name = "ROWS", default_value_t = 25, requires = "once")]
    height: u16,
    /// Everything below another directory, for trying things out.
    #[arg(long, value_name = "DIRECTORY", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Not interrupted like other commands: Ctrl-C is a key of the screen.
pub(super) fn run(args: ConsoleArgs) -> ExitCode {
    let paths = Paths::below(args.root);
    let runtime = match runtime::single_threaded() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    if args.once {
        let state = runtime.block_on(console::look(&paths));
        return print(console::text(&console::frame(&state, args.width, args.height)).trim_end());
    }
    let outcome = runtime.block_on(console::run(paths));
    // Nobody waits for a key that does not come.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}
