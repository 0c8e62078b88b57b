//! Questions in front of a page, and their answers.

use super::{Action, Effect};
use crate::{
    console::{input::Input, keys::Key},
    node::protocol::{Credentials, DataBefore},
    secret::Secret,
};

/// What stands in front of a page.
#[derive(Debug)]
pub(in crate::console) enum Dialog {
    /// Whose link is wanted.
    Whose(Input),
    /// The recovery kit that opens the keystore.
    Kit(Box<Kit>),
    /// Is what will be lost really to be lost?
    PutBack(Box<PutBack>),
    /// Is it really wanted?
    Confirm { action: Action, yes: bool },
    /// Who wants it?
    Prove(Box<Prove>),
    /// It goes on.
    Working { doing: &'static str, text: String, percent: Option<u8> },
    /// What came of it.
    Told { lines: Vec<String>, bad: bool },
}

/// How a person proves who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) enum Way {
    Password,
    RecoveryKit,
}

/// The form for the code that opens the keystore.
#[derive(Debug)]
pub(in crate::console) struct Kit {
    pub(in crate::console) code: Input,
    pub(in crate::console) problem: Option<String>,
}

/// The form for a word that nobody types by accident.
#[derive(Debug)]
pub(in crate::console) struct PutBack {
    pub(in crate::console) before: DataBefore,
    pub(in crate::console) word: Input,
    /// Another word was typed.
    pub(in crate::console) wrong: bool,
}

impl PutBack {
    /// The word.
    pub(in crate::console) const WORD: &'static str = "restore";
}

/// The form for a proof. The first row is the way, the others are lines.
#[derive(Debug)]
pub(in crate::console) struct Prove {
    pub(in crate::console) action: Action,
    pub(in crate::console) way: Way,
    pub(in crate::console) row: usize,
    pub(in crate::console) email: Input,
    pub(in crate::console) password: Input,
    pub(in crate::console) kit: Input,
    pub(in crate::console) problem: Option<String>,
}

impl Dialog {
    pub(super) fn whose() -> Self {
        Self::Whose(Input::default())
    }

    pub(super) fn confirm(action: Action) -> Self {
        Self::Confirm { action, yes: false }
    }

    pub(super) fn told(line: &str, bad: bool) -> Self {
        Self::Told { lines: vec![line.to_owned()], bad }
    }

    /// With what was typed before, if anything.
    pub(super) fn kit(code: &Secret<String>, problem: Option<String>) -> Self {
        Self::Kit(Box::new(Kit { code: Input::new(code.expose()), problem }))
    }

    pub(super) fn put_back(before: DataBefore) -> Self {
        Self::PutBack(Box::new(PutBack { before, word: Input::default(), wrong: false }))
    }

    pub(super) fn working(doing: &'static str) -> Self {
        Self::Working { doing, text: String::new(), percent: None }
    }

    pub(super) fn prove(action: Action, way: Way, problem: Option<String>) -> Self {
        Self::Prove(Box::new(Prove {
            action,
            way,
            row: 1,
            email: Input::default(),
            password: Input::hidden(),
            kit: Input::default(),
            problem,
        }))
    }

    fn ask(action: Action, credentials: Option<Credentials>) -> (Option<Self>, Option<Effect>) {
        (Some(Self::working(action.doing())), Some(Effect::Ask(action, credentials)))
    }

    /// What was confirmed: done, or first proved by `way`.
    fn go_on(action: Action, way: Option<Way>) -> (Option<Self>, Option<Effect>) {
        match way {
            Some(way) => (Some(Self::prove(action, way, None)), None),
            None => Self::ask(action, None),
        }
    }

    /// What a key makes of it: the dialog that follows, and what is to be done.
    pub(super) fn on_key(self, key: Key, proof: Option<Way>) -> (Option<Self>, Option<Effect>) {
        match self {
            // What was begun cannot be called back; the answer ends this.
            Self::Working { .. } => (Some(self), None),
            Self::Told { .. } => match key {
                Key::Enter | Key::Escape | Key::Glyph(' ') => (None, Some(Effect::ReadAnswers)),
                _ => (Some(self), None),
            },
            Self::Whose(mut email) => match key {
                Key::Escape => (None, None),
                Key::Enter => {
                    let text = email.text().trim();
                    let whose = (!text.is_empty()).then(|| text.to_owned());
                    (Some(Self::confirm(Action::ResetAdministrator(whose))), None)
                }
                key => {
                    email.on_key(key);
                    (Some(Self::Whose(email)), None)
                }
            },
            Self::Confirm { action, yes } => {
                let decided = match key {
                    Key::Glyph('y' | 'Y') => Some(true),
                    Key::Glyph('n' | 'N') | Key::Escape => Some(false),
                    Key::Enter => Some(yes),
                    _ => None,
                };
                match decided {
                    None => {
                        let turns =
                            matches!(key, Key::Left | Key::Right | Key::Next | Key::Previous);
                        (Some(Self::Confirm { action, yes: yes ^ turns }), None)
                    }
                    Some(false) => (None, None),
                    Some(true) => Self::go_on(action, proof),
                }
            }
            Self::Kit(kit) => kit.on_key(key),
            Self::PutBack(put_back) => put_back.on_key(key, proof),
            Self::Prove(prove) => prove.on_key(key),
        }
    }
}

impl Kit {
    fn on_key(mut self: Box<Self>, key: Key) -> (Option<Dialog>, Option<Effect>) {
        match key {
            Key::Escape => return (None, None),
            // The code is its own proof.
            Key::Enter | Key::Apply if !self.code.text().trim().is_empty() => {
                return Dialog::ask(Action::RecoverKeystore(self.code.secret()), None);
            }
            key => {
                self.code.on_key(key);
            }
        }
        (Some(Dialog::Kit(self)), None)
    }
}

impl PutBack {
    fn on_key(
        mut self: Box<Self>,
        key: Key,
        proof: Option<Way>,
    ) -> (Option<Dialog>, Option<Effect>) {
        match key {
            Key::Escape => return (None, None),
            Key::Enter | Key::Apply => {
                if self.word.text().trim().eq_ignore_ascii_case(Self::WORD) {
                    return Dialog::go_on(Action::RestoreData(self.before.version), proof);
                }
                self.wrong = true;
            }
            key => {
                self.word.on_key(key);
            }
        }
        (Some(Dialog::PutBack(self)), None)
    }
}

impl Prove {
    /// The lines of this way.
    pub(in crate::console) fn lines(&self) -> Vec<(&'static str, &Input)> {
        match self.way {
            Way::Password => vec![("E-mail", &self.email), ("Password", &self.password)],
            Way::RecoveryKit => vec![("Recovery code", &self.kit)],
        }
    }

    fn on_key(mut self: Box<Self>, key: Key) -> (Option<Dialog>, Option<Effect>) {
        let last = self.lines().len();
        match key {
            Key::Escape => return (None, None),
            Key::Enter | Key::Apply if self.row == last => {
                return Dialog::ask(self.action.clone(), Some(self.credentials()));
            }
            Key::Enter | Key::Next | Key::Down => self.row = (self.row + 1) % (last + 1),
            Key::Previous | Key::Up => self.row = (self.row + last) % (last + 1),
            Key::Left | Key::Right | Key::Glyph(' ') if self.row == 0 => {
                self.way = match self.way {
                    Way::Password => Way::RecoveryKit,
                    Way::RecoveryKit => Way::Password,
                };
            }
            key => {
                let line = match (self.way, self.row) {
                    (_, 0) => None,
                    (Way::Password, 1) => Some(&mut self.email),
                    (Way::Password, _) => Some(&mut self.password),
                    (Way::RecoveryKit, _) => Some(&mut self.kit),
                };
                if let Some(line) = line {
                    line.on_key(key);
                }
            }
        }
        (Some(Dialog::Prove(self)), None)
    }

    fn credentials(&self) -> Credentials {
        match self.way {
            Way::Password => Credentials::Password {
                email: self.email.text().trim().to_owned(),
                password: self.password.secret(),
            },
            Way::RecoveryKit => Credentials::RecoveryKit(self.kit.secret()),
        }
    }
}
