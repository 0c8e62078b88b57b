//! Programs that the tests start: where they are, and that they end with the test.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// The program that `tests/peers` knows by the name of this variable.
pub(crate) fn peer(variable: &str) -> &'static Path {
    static PEERS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let peers = PEERS.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
        let output = Command::new(script).arg("--env").output().expect("tests/peers runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines.map(|(name, path)| (name.to_owned(), PathBuf::from(path))).collect()
    });
    let path = peers.get(variable).filter(|path| path.exists());
    path.unwrap_or_else(|| panic!("{variable} is not on this machine: run tests/peers"))
}

/// A port that nobody listens on, below those that the system gives to whoever
/// asks for any: nothing else takes it before the program does that is told of it.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const MANY: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Several test processes may run at once.
    let own = std::process::id().wrapping_mul(7_919) % u32::from(MANY);
    let own = u16::try_from(own).expect("below the number of ports");
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + own.wrapping_add(next) % MANY;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program that runs as long as this value, and no longer than the thread
/// that has started it. What it says is in a file.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it in the directory of its log. Call it on the test's own
    /// thread: the kernel ends the program when that thread ends, even if the
    /// test process is killed.
    pub(crate) fn start(program: &Path, shape: impl FnOnce(&mut Command), log: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        shape(&mut command);
        let file = File::create(log).expect("a log file");
        command
            .current_dir(log.parent().expect("a directory"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file);
        let child = command.spawn().expect("setpriv, of util-linux, starts");
        Self { child, log: log.to_owned() }
    }

    /// The process; `setpriv` has made way for the program itself.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
