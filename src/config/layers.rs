//! What was written about settings, in all places, before it gets its type.
//!
//! Owns: reading the TOML file, the environment and the flags; which of them
//! wins; finding keys and variables that do not exist.
//! Must not know: what a setting means.

use std::{collections::HashMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    ConfigError, Origin, Setting, nearest,
    value::{Raw, Value},
};

/// Environment variables that start like a setting and are none.
pub const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("PALISADE_CONFIG", "the configuration file, as --config"),
    ("PALISADE_ADDRESS", "the appliance that the API client talks to"),
    ("PALISADE_TOKEN", "the access token or API key of the API client"),
    ("PALISADE_TENANT", "the tenant that the API client logs in to"),
    ("PALISADE_CA_FILE", "the CA that the API client trusts"),
];

/// One value that was written, and where.
#[derive(Clone, Debug)]
struct Written {
    raw: Raw,
    origin: Origin,
}

/// A setting as it takes effect.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The setting.
    pub key: &'static str,
    /// Its value as TOML; `None` when it is not set.
    pub value: Option<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// Everything that was written; a later layer replaces an earlier one.
#[derive(Debug, Default)]
pub(super) struct Layers {
    written: HashMap<&'static str, Written>,
    effective: Vec<Effective>,
}

impl Layers {
    /// Adds the settings of a file.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let at = |line| Origin::File { path: path.to_owned(), line };
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::of(at(0), format!("cannot be read: {error}")))?;
        let line =
            |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        let document = DeTable::parse(&text).map_err(|error| {
            // The message without the excerpt: the line may hold anything.
            let line = error.span().map_or(0, |span| line(span.start));
            let problem = error.message().lines().next().unwrap_or_default().to_owned();
            ConfigError::of(at(line), format!("is not valid TOML: {problem}"))
        })?;
        self.add_table("", document.get_ref(), &|offset| at(line(offset)))
    }

    fn add_table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        origin_at: &dyn Fn(usize) -> Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let origin = origin_at(name.span().start);
            let is_section = Setting::all().any(|setting| {
                setting.key.strip_prefix(&*key).is_some_and(|rest| rest.starts_with('.'))
            });
            match (find(&key), value.get_ref()) {
                (Some(setting), value) => {
                    self.written.insert(setting.key, Written { raw: raw(value), origin });
                }
                (None, DeValue::Table(inner)) if is_section => {
                    self.add_table(&key, inner, origin_at)?;
                }
                (None, _) if is_section => {
                    let problem = format!("is a section; its settings follow a line [{key}]");
                    return Err(ConfigError::at(&key, &origin, problem));
                }
                (None, _) => return Err(unknown(&key, &origin)),
            }
        }
        Ok(())
    }

    /// Adds the settings of the environment; other variables are passed over.
    pub(super) fn add_environment(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in environment {
            if !name.starts_with("PALISADE_")
                || OTHER_VARIABLES.iter().any(|(other, _)| *other == name)
            {
                continue;
            }
            let Some(setting) = Setting::all().find(|setting| setting.variable() == name) else {
                let names = Setting::all().map(Setting::variable);
                let problem =
                    format!("does not name a setting{}", nearest::suggestion(&name, names));
                return Err(ConfigError::of(Origin::Variable(name), problem));
            };
            let written =
                Written { raw: setting.shape.read(&text), origin: Origin::Variable(name) };
            self.written.insert(setting.key, written);
        }
        Ok(())
    }

    /// Adds the settings of the command line.
    pub(super) fn add_overrides(
        &mut self,
        overrides: &[(String, String)],
    ) -> Result<(), ConfigError> {
        for (key, text) in overrides {
            let setting = find(key).ok_or_else(|| unknown(key, &Origin::Flag))?;
            let written = Written { raw: setting.shape.read(text), origin: Origin::Flag };
            self.written.insert(setting.key, written);
        }
        Ok(())
    }

    /// Sets what nobody has written because it follows from the setting `from`.
    pub(super) fn derive(&mut self, key: &'static str, from: &'static str, raw: Raw) {
        self.written.entry(key).or_insert(Written { raw, origin: Origin::Derived(from) });
    }

    /// The typed value of a setting that others follow from, before it is taken.
    pub(super) fn peek<T: Value>(&self, key: &'static str) -> Result<T, ConfigError> {
        let mut copy = Self { written: self.written.clone(), effective: Vec::new() };
        copy.take(key)
    }

    /// The typed value of a setting.
    ///
    /// # Panics
    /// When the setting is not in the table: only the `section!` macro calls this.
    pub(super) fn take<T: Value>(&mut self, key: &'static str) -> Result<T, ConfigError> {
        let setting = find(key).expect("a section reads only its own settings");
        let written = self.written.remove(key).or_else(|| {
            let raw = setting.default.map(default_value)?;
            Some(Written { raw, origin: Origin::Default })
        });
        let Some(Written { raw, origin }) = written else {
            self.effective.push(Effective { key, value: None, origin: Origin::Default });
            return T::unset().ok_or_else(|| {
                ConfigError::at(key, &Origin::Default, "must be set: it has no default")
            });
        };
        if let (Raw::Integer(number), Some((low, high))) = (&raw, setting.range)
            && !(low..=high).contains(number)
        {
            let problem = format!("must be between {low} and {high}, not {number}");
            return Err(ConfigError::at(key, &origin, problem));
        }
        let value = T::read(&raw).map_err(|problem| ConfigError::at(key, &origin, problem))?;
        self.effective.push(Effective { key, value: Some(display(&raw)), origin });
        Ok(value)
    }

    /// What has been taken, in the order of taking.
    pub(super) fn into_effective(self) -> Vec<Effective> {
        self.effective
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    Setting::all().find(|setting| setting.key == key)
}

fn unknown(key: &str, origin: &Origin) -> ConfigError {
    let keys = Setting::all().map(|setting| setting.key.to_owned());
    let problem = format!("does not exist{}", nearest::suggestion(key, keys));
    ConfigError::at(key, origin, problem)
}

/// A default is TOML that we wrote; a test reads them all.
fn default_value(text: &'static str) -> Raw {
    DeValue::parse(text).map_or(Raw::Other("nothing"), |value| raw(value.get_ref()))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str().replace('_', "").as_str(), number.radix())
                .map_or(Raw::Other("a number that is too large"), Raw::Integer)
        }
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(Into::into));
            texts.collect::<Option<_>>().map_or(Raw::Other("a list of other things"), Raw::List)
        }
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a section"),
    }
}

fn display(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) => toml::Value::String(text.clone()).to_string(),
        Raw::Integer(number) => number.to_string(),
        Raw::Boolean(value) => value.to_string(),
        Raw::List(items) => toml::Value::from(items.clone()).to_string(),
        Raw::Other(name) => (*name).to_owned(),
    }
}
