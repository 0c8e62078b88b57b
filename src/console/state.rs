//! What the screen knows, and what keys and news make of it. Pure.

mod dialog;
mod form;

use std::collections::BTreeMap;

pub(super) use self::{
    dialog::{Dialog, Kit, Prove, PutBack, Way},
    form::{Field, Form},
};
use super::keys::Key;
use crate::{
    clock::Timestamp,
    node::{
        machine::Machine,
        protocol::{
            AnswersView, ClusterView, Credentials, DataBefore, Failure, Health, LogSource, Power,
            Progress, SetUp, Status,
        },
    },
    release::Version,
    secret::Secret,
};

/// The pages, each behind a function key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Summary,
    Network,
    Logs,
    Pairing,
    Recovery,
    Power,
}

impl Page {
    pub(super) const ALL: [Self; 6] =
        [Self::Summary, Self::Network, Self::Logs, Self::Pairing, Self::Recovery, Self::Power];

    /// The number of its function key.
    pub(super) fn key(self) -> u8 {
        match self {
            Self::Summary => 1,
            Self::Network => 2,
            Self::Logs => 3,
            Self::Pairing => 4,
            Self::Recovery => 8,
            Self::Power => 12,
        }
    }

    /// The key for lines that have no function keys.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Power => '0',
            page => char::from(b'0' + page.key()),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Summary => "Summary",
            Self::Network => "Network",
            Self::Logs => "Logs",
            Self::Pairing => "Pairing",
            Self::Recovery => "Recovery",
            Self::Power => "Power",
        }
    }
}

/// Where what is shown comes from.
#[derive(Clone, Debug, Default)]
pub(super) enum Seen {
    /// Nobody has been asked yet.
    #[default]
    Nothing,
    /// The node daemon.
    Daemon(Box<Status>),
    /// The daemon does not answer, for this reason; this is what the screen sees itself.
    Alone(Box<Machine>, String),
}

/// Something that a person wants to be done.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Amend(BTreeMap<String, String>),
    Power(Power),
    ResetAdministrator(Option<String>),
    RenewCertificate,
    /// With the code of the recovery kit.
    RecoverKeystore(Secret<String>),
    /// As before this version.
    RestoreData(Version),
    SupportBundle,
}

impl Action {
    /// What [`Self::RecoverKeystore`] means.
    pub(super) const OPEN_KEYSTORE: &'static str = "\
         The recovery kit opens a keystore whose seal is lost; of one that is missing, damaged or \
         too old it opens the copy in the database. The keystore is sealed anew, and the \
         management plane stops for a moment.";
    /// What [`Self::RestoreData`] means.
    pub(super) const PUT_BACK: &'static str = "\
         Everything that was done since then is lost: clusters, users, passwords, settings, keys. \
         The recovery kit of that time counts again. The management plane stops meanwhile.";

    /// What is going to happen, as a question.
    pub(super) fn question(&self) -> &'static str {
        match self {
            Self::Amend(_) => "Use these answers from now on? Connections may break.",
            Self::Power(Power::Reboot) => "Reboot this machine now?",
            Self::Power(Power::ShutDown) => "Shut this machine down now?",
            Self::ResetAdministrator(_) => {
                "Make a new link for this administrator? The management plane stops for a moment."
            }
            Self::RenewCertificate => {
                "Make a new certificate? The management plane stops for a moment, and browsers \
                 will see another fingerprint."
            }
            Self::RecoverKeystore(_) => Self::OPEN_KEYSTORE,
            Self::RestoreData(_) => Self::PUT_BACK,
            Self::SupportBundle => "Collect logs and settings, without secrets, into one file?",
        }
    }

    /// What is going on, once it was begun.
    pub(super) fn doing(&self) -> &'static str {
        match self {
            Self::Amend(_) => "Putting the answers into effect",
            Self::Power(Power::Reboot) => "Rebooting",
            Self::Power(Power::ShutDown) => "Shutting down",
            Self::ResetAdministrator(_) => "Making a link",
            Self::RenewCertificate => "Making a certificate",
            Self::RecoverKeystore(_) => "Opening the keystore",
            Self::RestoreData(_) => "Putting the data back",
            Self::SupportBundle => "Collecting",
        }
    }
}

/// What the program has to do after a key.
#[derive(Debug)]
pub(super) enum Effect {
    Ask(Action, Option<Credentials>),
    ReadLog(LogSource),
    ReadAnswers,
    ReadRestorePoint,
    Repaint,
    Quit,
}

/// What the program has found out.
#[derive(Debug)]
pub(super) enum News {
    Status(Seen, Option<Box<ClusterView>>),
    Log(LogSource, Result<Vec<String>, String>),
    Answers(Result<AnswersView, String>),
    /// Which data could be put back.
    RestorePoint(Result<DataBefore, Failure>),
    Progress(Progress),
    /// Something was done; what to tell the person.
    Done(Vec<String>),
    /// It was not, because of this.
    NotDone(Action, Failure),
}

/// Lines of a log.
#[derive(Debug, Default)]
pub(super) struct LogView {
    pub(super) source: usize,
    pub(super) lines: Vec<String>,
    pub(super) problem: Option<String>,
}

/// Everything that the screen knows.
#[derive(Debug, Default)]
pub struct State {
    pub(super) seen: Seen,
    /// The cluster, when the daemon knows of it.
    pub(super) cluster: Option<Box<ClusterView>>,
    pub(super) now: Option<Timestamp>,
    pub(super) page: Page,
    /// How many rows of a long page are above the screen.
    pub(super) scroll: usize,
    /// Which entry of a page with entries is chosen.
    pub(super) chosen: usize,
    pub(super) log: LogView,
    pub(super) answers: Option<Result<AnswersView, String>>,
    pub(super) form: Option<Form>,
    pub(super) dialog: Option<Dialog>,
}

/// Rows of a page up or down.
const PAGE: usize = 15;
/// No page is longer.
const MOST_SCROLLED: usize = 2_000;

/// The entries of a page and what they want.
pub(super) fn entries(page: Page) -> &'static [(&'static str, &'static str)] {
    match page {
        Page::Recovery => &[
            ("Reset an administrator", "A link for somebody who cannot log in any more."),
            ("Renew the certificate", "Another one of the installation's own authority."),
            ("Open the keystore", "With the recovery kit, when its seal or itself is lost."),
            ("Put the data back", "As before the last update, if that has damaged it."),
            ("Support bundle", "Logs and settings without secrets, for whoever helps you."),
        ],
        Page::Power => &[
            ("Reboot", "Services end properly; it takes about a minute."),
            ("Shut down", "The machine is off until somebody starts it."),
        ],
        _ => &[],
    }
}

impl State {
    /// The status, if the daemon answers.
    pub(super) fn status(&self) -> Option<&Status> {
        match &self.seen {
            Seen::Daemon(status) => Some(status),
            Seen::Nothing | Seen::Alone(..) => None,
        }
    }

    /// The pages that this machine has.
    pub(super) fn pages(&self) -> impl Iterator<Item = Page> {
        let pairs = self.status().is_some_and(|status| status.pairing.is_some());
        Page::ALL.into_iter().filter(move |page| *page != Page::Pairing || pairs)
    }

    /// Takes a key.
    pub(super) fn on_key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Redraw => return vec![Effect::Repaint],
            Key::Quit => return vec![Effect::Quit],
            _ => {}
        }
        if let Some(dialog) = self.dialog.take() {
            return self.in_dialog(dialog, key);
        }
        if let Some(form) = self.form.take() {
            return self.in_form(form, key);
        }
        match key {
            Key::Page(page) => self.show(page),
            Key::Glyph(glyph) => self.on_glyph(glyph),
            Key::Up | Key::Previous => self.step(false),
            Key::Down | Key::Next => self.step(true),
            Key::PageUp => self.scroll_by(PAGE, false),
            Key::PageDown => self.scroll_by(PAGE, true),
            Key::Left if self.page == Page::Logs => self.show_log(self.log.source.checked_sub(1)),
            Key::Right if self.page == Page::Logs => self.show_log(self.log.source.checked_add(1)),
            Key::Enter => self.begin(),
            Key::Escape => self.show(Page::Summary),
            _ => Vec::new(),
        }
    }

    fn on_glyph(&mut self, glyph: char) -> Vec<Effect> {
        match (self.page, glyph.to_ascii_lowercase()) {
            (Page::Network, 'e') => self.begin(),
            (Page::Logs, 'n') => self.show_log(Some((self.log.source + 1) % LogSource::ALL.len())),
            (_, letter) => {
                let page = self.pages().find(|page| page.letter() == letter);
                page.map_or_else(Vec::new, |page| self.show(page))
            }
        }
    }

    fn show(&mut self, page: Page) -> Vec<Effect> {
        if !self.pages().any(|known| known == page) {
            return Vec::new();
        }
        (self.page, self.scroll, self.chosen) = (page, 0, 0);
        match page {
            Page::Logs => self.show_log(Some(self.log.source)),
            Page::Network => vec![Effect::ReadAnswers],
            _ => Vec::new(),
        }
    }

    fn show_log(&mut self, source: Option<usize>) -> Vec<Effect> {
        let Some((at, source)) = source.and_then(|at| Some((at, *LogSource::ALL.get(at)?))) else {
            return Vec::new();
        };
        if at != self.log.source {
            self.log = LogView { source: at, ..LogView::default() };
            self.scroll = 0;
        }
        vec![Effect::ReadLog(source)]
    }

    /// Up and down: another entry, or another part of a page without entries.
    fn step(&mut self, down: bool) -> Vec<Effect> {
        let count = entries(self.page).len();
        if count == 0 {
            return self.scroll_by(1, down);
        }
        self.chosen =
            if down { (self.chosen + 1).min(count - 1) } else { self.chosen.saturating_sub(1) };
        Vec::new()
    }

    fn scroll_by(&mut self, rows: usize, down: bool) -> Vec<Effect> {
        // The newest lines of a log are at its end, and that is where it begins.
        let away = down != (self.page == Page::Logs);
        self.scroll = if away {
            (self.scroll + rows).min(MOST_SCROLLED)
        } else {
            self.scroll.saturating_sub(rows)
        };
        Vec::new()
    }

    /// Enter on a page.
    fn begin(&mut self) -> Vec<Effect> {
        let action = match (self.page, self.chosen) {
            (Page::Network, _) => {
                if let Some(Ok(answers)) = &self.answers {
                    self.form = Some(Form::new(answers));
                    self.scroll = 0;
                    return Vec::new();
                }
                return vec![Effect::ReadAnswers];
            }
            (Page::Recovery, 0) => {
                self.dialog = Some(Dialog::whose());
                return Vec::new();
            }
            (Page::Recovery, 2) => {
                self.dialog = Some(Dialog::kit(&Secret::new(String::new()), None));
                return Vec::new();
            }
            (Page::Recovery, 3) => {
                self.dialog = Some(Dialog::working("Looking for the data of before the update"));
                return vec![Effect::ReadRestorePoint];
            }
            (Page::Recovery, 1) => Action::RenewCertificate,
            (Page::Recovery, _) => Action::SupportBundle,
            (Page::Power, 0) => Action::Power(Power::Reboot),
            (Page::Power, _) => Action::Power(Power::ShutDown),
            _ => return Vec::new(),
        };
        self.dialog = Some(Dialog::confirm(action));
        Vec::new()
    }

    fn in_form(&mut self, mut form: Form, key: Key) -> Vec<Effect> {
        match key {
            Key::Escape => return vec![Effect::ReadAnswers],
            Key::Apply => {
                let changes = form.changes();
                if changes.is_empty() {
                    self.dialog = Some(Dialog::told("Nothing was changed.", false));
                } else if form.check() {
                    self.dialog = Some(Dialog::confirm(Action::Amend(changes)));
                }
            }
            key => form.on_key(key),
        }
        self.form = Some(form);
        Vec::new()
    }

    fn in_dialog(&mut self, dialog: Dialog, key: Key) -> Vec<Effect> {
        let (dialog, effect) = dialog.on_key(key, self.wanted_proof());
        self.dialog = dialog;
        effect.into_iter().collect()
    }

    /// Which proof a change wants, if any; the daemon decides again.
    fn wanted_proof(&self) -> Option<Way> {
        self.status().filter(|status| status.set_up == SetUp::Done).map(|_| self.way())
    }

    /// How somebody can prove who he is: only a management plane checks passwords.
    fn way(&self) -> Way {
        let silent = |status: &Status| matches!(status.health, Health::Silent { .. });
        if self.status().is_some_and(silent) { Way::RecoveryKit } else { Way::Password }
    }

    #[cfg(test)]
    pub(super) fn show_dialog(&mut self, dialog: Dialog) {
        self.dialog = Some(dialog);
    }

    /// Takes news.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Status(seen, cluster) => {
                (self.seen, self.cluster) = (seen, cluster);
                if !self.pages().any(|page| page == self.page) {
                    self.page = Page::Summary;
                }
            }
            News::Log(source, lines) => self.hear_log(source, lines),
            News::Answers(answers) => self.answers = Some(answers),
            News::RestorePoint(found) => {
                self.dialog = Some(match found {
                    Ok(before) => Dialog::put_back(before),
                    Err(failure) => Dialog::Told { lines: said(&failure), bad: true },
                });
            }
            News::Progress(progress) => {
                if let Some(Dialog::Working { text, percent, .. }) = &mut self.dialog {
                    (*text, *percent) = (progress.text, progress.percent);
                }
            }
            News::Done(lines) => {
                self.form = None;
                self.dialog = Some(Dialog::Told { lines, bad: false });
            }
            News::NotDone(action, failure) => self.hear_failure(action, &failure),
        }
    }

    fn hear_log(&mut self, source: LogSource, lines: Result<Vec<String>, String>) {
        if LogSource::ALL.get(self.log.source) != Some(&source) {
            return;
        }
        match lines {
            Ok(lines) => (self.log.lines, self.log.problem) = (lines, None),
            Err(problem) => self.log.problem = Some(problem),
        }
    }

    fn hear_failure(&mut self, action: Action, failure: &Failure) {
        use crate::error::Kind;
        let at_fields = self.form.as_mut().is_some_and(|form| form.blame(&failure.fields));
        self.dialog = match failure.kind() {
            _ if at_fields => None,
            // With the proof that failed there is no sense in repeating it.
            Kind::Unauthenticated | Kind::RateLimited | Kind::Forbidden => {
                let first = failure.code == "credentials-needed";
                let problem = (!first).then(|| said(failure).join(" "));
                Some(match action {
                    // Most of what was typed is right.
                    Action::RecoverKeystore(kit) => Dialog::kit(&kit, problem),
                    action => Dialog::prove(action, self.way(), problem),
                })
            }
            _ => Some(Dialog::Told { lines: said(failure), bad: true }),
        };
    }
}

/// A failure for a person.
fn said(failure: &Failure) -> Vec<String> {
    let mut lines = vec![failure.message.clone()];
    lines.extend(failure.fields.iter().map(|(field, message)| format!("{field}: {message}")));
    lines.extend(failure.hint.clone());
    lines
}

#[cfg(test)]
mod tests;
