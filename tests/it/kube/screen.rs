//! The list of clusters in a real browser.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    app::{PASSWORD, TestApp},
    peers::peer,
};

/// A browser that shows the list and says what it sees of one cluster.
pub(crate) struct Screen {
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Screen {
    /// Logs in and opens the list; then waits for one phase after the other.
    pub(crate) async fn watch(t: &TestApp, email: &str, cluster: &str, phases: &[&str]) -> Self {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/dist/index.html");
        for (path, remedy) in [
            (format!("{tests}/node_modules/playwright-core"), "npm ci in tests/browser"),
            (built.to_owned(), "appliance/quickstart --build-only"),
        ] {
            assert!(std::path::Path::new(&path).exists(), "{path} is missing: run {remedy}");
        }
        let mut child = Command::new("node")
            .arg("watch.mjs")
            .arg(cluster)
            .args(phases)
            .current_dir(tests)
            .env("PALISADE_URL", &t.url)
            .env("CHROMIUM", peer("CHROMIUM"))
            .env("WATCH_EMAIL", email)
            .env("WATCH_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut screen = Self { lines, child };
        assert_eq!(screen.next(Duration::from_mins(1)).await, "watching");
        screen
    }

    /// Waits until the list shows the next phase; answers the reasons that it shows.
    pub(crate) async fn shows(&mut self, phase: &str, limit: Duration) -> String {
        let line = self.next(limit).await;
        let (shown, reasons) = line.split_once('\t').unwrap_or((&line, ""));
        assert_eq!(shown, phase);
        reasons.to_owned()
    }

    /// The page had nothing to complain about and was never loaded again.
    pub(crate) async fn ends_well(mut self) {
        let status = timeout(Duration::from_secs(20), self.child.wait()).await;
        let status = status.expect("the browser is closed").expect("an exit status");
        assert!(status.success(), "{status}");
    }

    async fn next(&mut self, limit: Duration) -> String {
        let line = timeout(limit, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("the page shows nothing new within {limit:?}"));
        line.expect("text").expect("the browser still runs")
    }
}
