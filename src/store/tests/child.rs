//! Parts of tests that need a process of their own: this test program again.

use std::process::Command;

/// Tells a part which folder to work in; absent in an ordinary run.
const FOLDER: &str = "PALISADE_TEST_FOLDER";

/// The test `name` of this program, to be run in a process of its own.
pub(super) fn command(name: &str, folder: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([&format!("store::tests::{name}"), "--exact", "--nocapture"]);
    command.env(FOLDER, folder);
    command
}

/// Where to work, when this process was started by [`command`].
#[expect(clippy::disallowed_methods, reason = "the only way to tell a test something")]
pub(super) fn folder() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}
