//! A part of a test that has a file system of its own: this test program again,
//! in a process that has mounted one. The mount is seen by nobody else and goes
//! with the process. The unit tests use this file, too.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Tells the part where its file system is; absent in an ordinary run.
const PLACE: &str = "PALISADE_TEST_FOLDER";

/// Where to work, when this process was started by [`passes`].
#[expect(clippy::disallowed_methods, reason = "the only way to tell a test something")]
pub(crate) fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

/// Runs the test `part` with a file system of these options at `place`, e.g. `size=8m`.
pub(crate) fn passes(part: &str, place: &Path, options: &str) {
    let mount = format!(r#"mount -t tmpfs -o {options} tmpfs "$1" && shift && exec "$@""#);
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &mount, "sh"])
        .arg(place)
        .arg(std::env::current_exe().expect("this program"))
        .args([part, "--exact", "--nocapture"])
        .env(PLACE, place)
        .output()
        .expect("run unshare");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", said.concat());
    assert!(said[0].contains("1 passed"), "{}", said[0]);
}
