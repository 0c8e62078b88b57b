//! The form with which answers are repaired.

use std::collections::BTreeMap;

use crate::{
    console::{input::Input, keys::Key},
    node::{
        properties::{self, HIDDEN, Property, RawAnswers},
        protocol::{AnswersView, Mistake},
    },
};

/// What is always in the form: the way into the network and out of it.
const USUAL: &[&str] = &[
    "hostname",
    "ipv4",
    "gateway",
    "ipv6",
    "gateway6",
    "dns",
    "search_domain",
    "ntp",
    "http_proxy",
    "no_proxy",
    "role",
    "agent_port",
    "mirror_url",
];

/// One answer in the form.
#[derive(Debug)]
pub(in crate::console) struct Field {
    pub(in crate::console) property: &'static Property,
    pub(in crate::console) input: Input,
    pub(in crate::console) mistake: Option<String>,
    before: String,
}

/// The form.
#[derive(Debug)]
pub(in crate::console) struct Form {
    pub(in crate::console) fields: Vec<Field>,
    pub(in crate::console) focus: usize,
    /// Mistakes in properties that are not in the form.
    pub(in crate::console) others: Vec<Mistake>,
}

impl Form {
    /// The form over these answers: the usual ones, and all with mistakes.
    pub(super) fn new(answers: &AnswersView) -> Self {
        let wrong = |key: &str| answers.mistakes.iter().find(|mistake| mistake.property == key);
        let wanted =
            |property: &&Property| USUAL.contains(&property.key) || wrong(property.key).is_some();
        let fields = properties::TABLE.iter().filter(wanted).map(|property| {
            let before = answers.properties.get(property.key).cloned().unwrap_or_default();
            Field {
                property,
                input: Input::new(&before),
                mistake: wrong(property.key).map(|mistake| mistake.message.clone()),
                before,
            }
        });
        let mut fields: Vec<_> = fields.collect();
        let order = |field: &Field| USUAL.iter().position(|key| *key == field.property.key);
        fields.sort_by_key(|field| order(field).unwrap_or(USUAL.len()));
        let focus = fields.iter().position(|field| field.mistake.is_some()).unwrap_or(0);
        let others = answers.mistakes.iter();
        let others = others.filter(|mistake| properties::find(&mistake.property).is_none());
        Self { focus, others: others.cloned().collect(), fields }
    }

    pub(super) fn on_key(&mut self, key: Key) {
        let count = self.fields.len();
        match key {
            Key::Down | Key::Next | Key::Enter => self.focus = (self.focus + 1) % count,
            Key::Up | Key::Previous => self.focus = (self.focus + count - 1) % count,
            key => {
                if let Some(field) = self.fields.get_mut(self.focus) {
                    let before = field.input.text().to_owned();
                    field.input.on_key(key);
                    // It is looked at again when the form is put into effect.
                    if field.input.text() != before {
                        field.mistake = None;
                    }
                }
            }
        }
    }

    /// What differs from before.
    pub(super) fn changes(&self) -> BTreeMap<String, String> {
        let changed = self.fields.iter().filter(|field| field.input.text().trim() != field.before);
        changed
            .map(|field| (field.property.key.to_owned(), field.input.text().trim().to_owned()))
            .collect()
    }

    /// Looks for mistakes that can be found here; the daemon, which knows all
    /// answers, looks again. What was not changed and is hidden is not looked at.
    pub(super) fn check(&mut self) -> bool {
        let changed = self.changes();
        let visible = self.fields.iter().filter(|field| {
            !field.before.contains(HIDDEN) || changed.contains_key(field.property.key)
        });
        let given: RawAnswers = visible
            .map(|field| (field.property.key, field.input.text().trim().to_owned()))
            .collect();
        let mistakes = properties::check(&given).err().unwrap_or_default();
        // Other answers may have become wrong by what was changed, e.g. a gateway.
        let was_good = |key: &str| {
            self.fields.iter().any(|field| field.property.key == key && field.mistake.is_none())
        };
        let blamed: Vec<_> = mistakes
            .iter()
            .filter(|mistake| changed.contains_key(&mistake.key) || was_good(&mistake.key))
            // What a role needs beside it may be answered without being in the form.
            .filter(|mistake| mistake.key != "role")
            .map(|mistake| (mistake.key.clone(), Mistake::from(mistake).message))
            .collect();
        !self.blame(&blamed)
    }

    /// Puts mistakes at their fields, and goes to the first. Whether there was a field for one.
    pub(super) fn blame(&mut self, mistakes: &[(String, String)]) -> bool {
        let mut found = None;
        for (position, field) in self.fields.iter_mut().enumerate() {
            let own = mistakes.iter().find(|(key, _)| key == field.property.key);
            if let Some((_, message)) = own {
                field.mistake = Some(message.clone());
                found = found.or(Some(position));
            }
        }
        self.focus = found.unwrap_or(self.focus);
        found.is_some()
    }
}
