//! The program around the screen: time, keys, news and the daemon.

use std::{io, sync::Arc, time::Duration};

use ratatui::crossterm::event::Event;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval},
};

use super::{
    frame::{Frame, frame},
    keys, paint,
    state::{Action, Effect, News, Page, Seen, State},
    terminal::{self, Raw},
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Error, Result},
    node::{
        client::{Client, NoAnswer},
        machine::Machine,
        paths::Paths,
        protocol::{
            Amend, Answers, ClusterState, ClusterView, Credentials, Failure, KeepBundle, LogSource,
            Logs, Power, Progress, RecoverKeystore, RenewCertificate, ResetAdministrator,
            RestoreData, RestorePoint, StatusRequest,
        },
    },
};

/// How often the daemon is asked how the node does.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Lines of a log that are looked at.
const LINES: u16 = 200;

/// What one look shows, without a person in front of it.
pub async fn look(paths: &Paths) -> State {
    let (seen, cluster) = see(paths).await;
    State { seen, cluster, now: Some(SystemClock.now()), ..State::default() }
}

/// Runs the screen until somebody ends it.
pub async fn run(paths: Paths) -> Result<()> {
    let _raw = Raw::enter()?;
    let (sender, mut news) = mpsc::channel(64);
    let program = Program { client: Client::of(&paths), paths, news: sender, look: Arc::default() };
    tokio::spawn(program.clone().keep_looking());
    let mut events = terminal::events();
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = State { now: Some(SystemClock.now()), ..State::default() };
    let (mut shown, mut size): (Option<Frame>, _) = (None, terminal::size());
    loop {
        let next = frame(&state, size.0, size.1);
        let painted = paint::paint(&mut io::stdout().lock(), shown.as_ref(), &next);
        painted.map_err(Error::internal)?;
        shown = Some(next);
        tokio::select! {
            event = events.recv() => {
                // The terminal has gone, and with it the person.
                let Some(event) = event else { return Ok(()) };
                if matches!(event, Event::Resize(..)) {
                    size = terminal::size();
                }
                let effects = keys::understand(&event).map(|key| state.on_key(key));
                for effect in effects.into_iter().flatten() {
                    match effect {
                        Effect::Quit => return Ok(()),
                        Effect::Repaint => shown = None,
                        effect => program.carry_out(effect),
                    }
                }
            }
            Some(news) = news.recv() => state.hear(news),
            _ = every.tick() => {
                state.now = Some(SystemClock.now());
                let now = terminal::size();
                if now != size {
                    (size, shown) = (now, None);
                }
                if state.page == Page::Logs && state.scroll == 0 && state.dialog.is_none() {
                    program.follow_log(&state);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Program {
    client: Client,
    paths: Paths,
    news: mpsc::Sender<News>,
    /// Asks for a look before its time.
    look: Arc<Notify>,
}

impl Program {
    async fn keep_looking(self) {
        loop {
            let (seen, cluster) = see(&self.paths).await;
            self.tell(News::Status(seen, cluster)).await;
            let _ = tokio::time::timeout(LOOK_AGAIN, self.look.notified()).await;
        }
    }

    async fn tell(&self, news: News) {
        // Without a receiver the program is ending.
        let _ = self.news.send(news).await;
    }

    fn carry_out(&self, effect: Effect) {
        let program = self.clone();
        match effect {
            Effect::ReadLog(source) => drop(tokio::spawn(program.read_log(source))),
            Effect::ReadAnswers => drop(tokio::spawn(program.read_answers())),
            Effect::ReadRestorePoint => drop(tokio::spawn(program.read_restore_point())),
            Effect::Ask(action, credentials) => {
                drop(tokio::spawn(program.ask(action, credentials)));
            }
            Effect::Repaint | Effect::Quit => {}
        }
    }

    fn follow_log(&self, state: &State) {
        let seconds = state.now.map_or(0, crate::clock::Timestamp::as_seconds);
        if let Some(source) = LogSource::ALL.get(state.log.source)
            && seconds % 3 == 0
        {
            self.carry_out(Effect::ReadLog(*source));
        }
    }

    async fn read_log(self, source: LogSource) {
        let lines = self.client.ask(Logs { source, lines: LINES }).await;
        let lines = lines.map(|log| log.lines).map_err(|error| error.to_string());
        self.tell(News::Log(source, lines)).await;
    }

    async fn read_answers(self) {
        let answers = self.client.ask(Answers {}).await.map_err(|error| error.to_string());
        self.tell(News::Answers(answers)).await;
    }

    async fn read_restore_point(self) {
        let found = self.client.ask(RestorePoint {}).await;
        self.tell(News::RestorePoint(found.map_err(failure))).await;
    }

    async fn ask(self, action: Action, credentials: Option<Credentials>) {
        let done = self.done(&action, credentials).await;
        self.tell(match done {
            Ok(lines) => News::Done(lines),
            Err(no_answer) => News::NotDone(action, failure(no_answer)),
        })
        .await;
        self.look.notify_one();
    }

    /// Does it, and says what came of it.
    async fn done(
        &self,
        action: &Action,
        credentials: Option<Credentials>,
    ) -> Result<Vec<String>, NoAnswer> {
        let client = &self.client;
        let sender = self.news.clone();
        let hear = move |progress: Progress| drop(sender.try_send(News::Progress(progress)));
        Ok(match action {
            Action::Amend(properties) => {
                let ask = Amend { properties: properties.clone() };
                let answers = client.ask_as(ask, credentials, None, hear).await?;
                let mut lines = vec!["The answers are in effect.".to_owned()];
                lines.extend(answers.mistakes.iter().map(|mistake| {
                    format!("Still wrong: {}: {}", mistake.property, mistake.message)
                }));
                lines
            }
            Action::Power(power) => {
                client.ask_as(*power, credentials, None, hear).await?;
                vec![
                    match power {
                        Power::Reboot => "The machine reboots.",
                        Power::ShutDown => "The machine shuts down.",
                    }
                    .to_owned(),
                ]
            }
            Action::ResetAdministrator(email) => {
                let ask = ResetAdministrator { email: email.clone() };
                let link = client.ask_as(ask, credentials, None, hear).await?;
                // In two rows that break at a place that can be seen.
                let (page, token) = link.url.split_once('#').unwrap_or((&link.url, ""));
                let mut lines = vec![
                    format!("Open this link to choose a new password for {}:", link.email),
                    String::new(),
                    page.to_owned(),
                    format!("#{token}"),
                    String::new(),
                    "Both rows are one address, without a space between them.".to_owned(),
                    format!("It works once, until {:.0}, and is not shown again.", link.expires_at),
                ];
                if link.enabled {
                    lines.push("The account was disabled; it is enabled now.".to_owned());
                }
                lines
            }
            Action::RenewCertificate => {
                let renewal = client.ask_as(RenewCertificate {}, credentials, None, hear).await?;
                vec![
                    "The certificate was renewed. SHA-256:".to_owned(),
                    renewal.fingerprint,
                    format!("It is valid until {:.0}.", renewal.not_after),
                ]
            }
            Action::RecoverKeystore(kit) => {
                let ask = RecoverKeystore { kit: kit.clone() };
                let opened = client.ask_as(ask, credentials, None, hear).await?;
                vec![
                    format!("The keystore of installation {} opens again.", opened.installation),
                    format!("Recovery kit {} stays valid.", opened.recovery_kit),
                    "The management plane starts; F1 shows how it does.".to_owned(),
                ]
            }
            Action::RestoreData(before) => {
                let ask = RestoreData { before: before.clone() };
                let data = client.ask_as(ask, credentials, None, hear).await?;
                vec![
                    format!("The data is as it was at {:.0}, before {}.", data.at, data.version),
                    "What was there is kept beside it until the next time.".to_owned(),
                    "The management plane starts; F1 shows how it does.".to_owned(),
                ]
            }
            Action::SupportBundle => {
                let bundle = client.ask_as(KeepBundle {}, credentials, None, hear).await?;
                vec![
                    format!("The file is {} ({} KiB).", bundle.path, bundle.size / 1024),
                    "Fetch it with scp as admin, or another one at Appliance, Health.".to_owned(),
                ]
            }
        })
    }
}

fn failure(no_answer: NoAnswer) -> Failure {
    match no_answer {
        NoAnswer::Failed(failure) => failure,
        silent @ NoAnswer::Silent(_) => Failure::from(&Error::from(silent)),
    }
}

/// What the daemon says, or what can be seen without it.
async fn see(paths: &Paths) -> (Seen, Option<Box<ClusterView>>) {
    let client = Client::of(paths);
    let (status, cluster) = tokio::join!(client.ask(StatusRequest {}), client.ask(ClusterState {}));
    let reason = match status {
        // A damaged file of the cluster shows where the cluster is looked after.
        Ok(status) => return (Seen::Daemon(Box::new(status)), cluster.ok().map(Box::new)),
        Err(NoAnswer::Silent(reason)) => reason,
        Err(NoAnswer::Failed(failure)) => failure.message,
    };
    let read = {
        let paths = paths.clone();
        tokio::task::spawn_blocking(move || Machine::read(&paths)).await
    };
    let machine = read.unwrap_or_else(|_| Machine::read(paths));
    (Seen::Alone(Box::new(machine), reason), None)
}
