//! Questions in front of a page, and their answers.

use super::{Action, Effect};
use crate::{
    console::{input::Input, keys::Key},
    node::protocol::Credentials,
};

/// What stands in front of a page.
#[derive(Debug)]
pub(in crate::console) enum Dialog {
    /// Whose link is wanted.
    Whose(Input),
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

    pub(super) fn prove(action: Action, problem: Option<String>) -> Self {
        Self::Prove(Box::new(Prove {
            action,
            way: Way::Password,
            row: 1,
            email: Input::default(),
            password: Input::hidden(),
            kit: Input::default(),
            problem,
        }))
    }

    fn ask(action: Action, credentials: Option<Credentials>) -> (Option<Self>, Option<Effect>) {
        let working = Self::Working { doing: action.doing(), text: String::new(), percent: None };
        (Some(working), Some(Effect::Ask(action, credentials)))
    }

    /// What a key makes of it: the dialog that follows, and what is to be done.
    pub(super) fn on_key(self, key: Key, needs_proof: bool) -> (Option<Self>, Option<Effect>) {
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
                    Some(true) if needs_proof => (Some(Self::prove(action, None)), None),
                    Some(true) => Self::ask(action, None),
                }
            }
            Self::Prove(prove) => prove.on_key(key),
        }
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
