//! The operator's answers, kept.
//!
//! Owns: the two files of the answers (secrets are apart), whether the answers
//! are settled, changing some of them, and the report of mistakes that console
//! and daemon show.
//! Must not know: where answers come from, or what follows from them.
//!
//! What was given is kept as it was given, mistakes included: every boot looks
//! at it anew, so that the mistakes are still shown after a power cut, and a
//! version with other rules finds the operator's own words.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{
    paths::Paths,
    properties::{Mistake, Note, RawAnswers, Salvaged, find, salvage},
};
use crate::files::{self, PRIVATE, PUBLIC};

/// Where answers came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The OVF environment that VMware hands over to its tools.
    Guestinfo,
    /// The OVF environment on a CD-ROM.
    CdRom,
    /// A seed of cloud-init.
    NoCloud,
    /// A person at this machine.
    Console,
    /// Nobody: what DHCP says, and the console.
    Nobody,
}

impl Source {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guestinfo => "the OVF environment (VMware guestinfo)",
            Self::CdRom => "the OVF environment (CD-ROM)",
            Self::NoCloud => "a cloud-init seed",
            Self::Console => "the console",
            Self::Nobody => "nobody",
        }
    }
}

/// The answers as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where they came from at last.
    pub source: Source,
    /// Whether they count from now on. Answers with mistakes do not, so that an
    /// operator can mend them where they were given and start the machine again.
    pub settled: bool,
    /// What was given.
    pub given: RawAnswers,
}

/// What console and daemon show of the answers. Without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where the answers came from.
    pub source: Source,
    /// Everything that is wrong with them.
    pub mistakes: Vec<Mistake>,
    /// What is allowed and worth a thought: property and remark.
    pub notes: Vec<(String, String)>,
    /// Why the machine does not carry out its role, if it does not.
    pub waiting: Option<String>,
}

impl Report {
    /// What there is to say of answers.
    pub fn of(source: Source, salvaged: &Salvaged) -> Self {
        let notes = salvaged.answers.notes.iter();
        Self {
            source,
            mistakes: salvaged.mistakes.clone(),
            notes: notes.map(|Note { key, text }| ((*key).to_owned(), text.clone())).collect(),
            waiting: salvaged.role().err(),
        }
    }
}

/// Why answers were not changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The new answers are wrong, or do not fit to the others.
    #[error("{}", lines(.0))]
    Mistakes(Vec<Mistake>),
    /// They cannot be read or written.
    #[error("the answers cannot be kept")]
    Io(#[from] io::Error),
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The file without secrets.
#[derive(Serialize, Deserialize)]
struct Public {
    /// For versions to come.
    format: u32,
    source: Source,
    settled: bool,
    answers: BTreeMap<String, String>,
}

const FORMAT: u32 = 1;

fn public_file(paths: &Paths) -> PathBuf {
    paths.state().join("answers.json")
}

fn secret_file(paths: &Paths) -> PathBuf {
    paths.state().join("secrets/answers.json")
}

fn report_file(paths: &Paths) -> PathBuf {
    paths.run().join("mistakes.json")
}

/// The answers that are kept, or nothing at the very first boot. `InvalidData`
/// when nobody can read them.
pub fn load(paths: &Paths) -> io::Result<Option<Kept>> {
    let Some(text) = files::read(&public_file(paths))? else { return Ok(None) };
    let public: Public = serde_json::from_slice(&text).map_err(damaged)?;
    if public.format > FORMAT {
        // After going back to this version: the address it can read is better than none.
        tracing::warn!("the answers are of a newer version; what is known of them counts");
    }
    let mut given: RawAnswers = public.answers.into_iter().collect();
    if let Some(text) = files::read(&secret_file(paths))? {
        let secrets: BTreeMap<String, String> = serde_json::from_slice(&text).map_err(damaged)?;
        for (key, value) in secrets {
            given.set(key, value);
        }
    }
    Ok(Some(Kept { source: public.source, settled: public.settled, given }))
}

fn damaged(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Puts answers that nobody can read out of the way, for whoever wants to look at them.
pub fn set_aside(paths: &Paths) -> io::Result<()> {
    for file in [secret_file(paths), public_file(paths)] {
        match fs::rename(&file, file.with_extension("damaged")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Keeps answers. The secrets are written first: a power cut in between leaves
/// answers that are not settled, or the old ones with new secrets, and the
/// change is made again.
pub fn store(paths: &Paths, kept: &Kept) -> io::Result<()> {
    let (mut secrets, mut answers) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in kept.given.iter() {
        let place = if is_secret(key, value) { &mut secrets } else { &mut answers };
        place.insert(key.to_owned(), value.to_owned());
    }
    let secret_file = secret_file(paths);
    if !secrets.is_empty() || secret_file.exists() {
        files::replace(&secret_file, &serde_json::to_vec_pretty(&secrets)?, PRIVATE)?;
    }
    let Kept { source, settled, .. } = *kept;
    let public = Public { format: FORMAT, source, settled, answers };
    files::replace(&public_file(paths), &serde_json::to_vec_pretty(&public)?, PRIVATE)
}

/// A misspelt property may be a password, a wrong key a private one, a wrong
/// URL may have a token in it.
fn is_secret(key: &str, value: &str) -> bool {
    find(key).is_none_or(|property| property.secret)
        || value.contains("PRIVATE")
        || value.contains("://") && value.contains(['@', '?'])
}

/// Changes some answers; an empty text takes one away. They count from now on,
/// mistakes in others left as they are. Nothing is changed when one of the new
/// answers is wrong or does not fit to the rest.
pub fn amend(
    paths: &Paths,
    changes: impl IntoIterator<Item = (String, String)>,
) -> Result<Salvaged, AmendError> {
    let _lock = lock(paths)?;
    let mut given = load(paths)?.map(|kept| kept.given).unwrap_or_default();
    let before = salvage(&given).mistakes;
    let mut touched = Vec::new();
    for (key, value) in changes {
        given.set(key.clone(), value);
        touched.push(key);
    }
    // Nobody could take them away at the console, and they mean nothing.
    given.forget_unknown();
    let salvaged = salvage(&given);
    let new: Vec<_> = salvaged
        .mistakes
        .iter()
        .filter(|mistake| touched.contains(&mistake.key) || !before.contains(mistake))
        .cloned()
        .collect();
    if !new.is_empty() {
        return Err(AmendError::Mistakes(new));
    }
    store(paths, &Kept { source: Source::Console, settled: true, given })?;
    Ok(salvaged)
}

/// Two commands at once must not lose each other's changes.
fn lock(paths: &Paths) -> io::Result<File> {
    files::make_directory(&paths.state(), 0o755)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(paths.state().join("answers.lock"))?;
    file.lock()?;
    Ok(file)
}

/// Writes the report for console and daemon.
pub fn write_report(paths: &Paths, report: &Report) -> io::Result<()> {
    files::replace(&report_file(paths), &serde_json::to_vec_pretty(report)?, PUBLIC)
}

/// The report of this boot, or nothing when first boot has not come so far.
pub fn read_report(paths: &Paths) -> io::Result<Option<Report>> {
    let Some(text) = files::read(&report_file(paths))? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&text)?))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn home() -> (tempfile::TempDir, Paths) {
        let home = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(home.path());
        (home, paths)
    }

    fn kept(answers: &[(&str, &str)]) -> Kept {
        let given = answers.iter().copied().collect();
        Kept { source: Source::CdRom, settled: true, given }
    }

    fn change(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn answers_are_found_again_and_secrets_are_apart() {
        let (_home, paths) = home();
        assert_eq!(load(&paths).expect("read"), None);
        let kept = kept(&[
            ("hostname", "one.example.com"),
            ("join_code", "alder-birch-cedar"),
            ("http_proxy", "http://ada:hunter2@proxy.example.com:3128"),
            ("jion_code", "misspelt-secret"),
            ("ssh_public_key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ]);
        store(&paths, &kept).expect("written");
        assert_eq!(load(&paths).expect("read"), Some(kept));
        let public = fs::read_to_string(public_file(&paths)).expect("read");
        assert!(public.contains("one.example.com"));
        for secret in ["alder", "hunter2", "misspelt", "PRIVATE"] {
            assert!(!public.contains(secret), "{secret}");
        }
        for file in [public_file(&paths), secret_file(&paths)] {
            let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_repair_replaces_the_wrong_answer_and_settles_all() {
        let (_home, paths) = home();
        let wrong = kept(&[("ipv4", "192.0.2.300/24"), ("hostname", "one.example.com")]);
        store(&paths, &Kept { settled: false, ..wrong }).expect("written");
        let salvaged =
            amend(&paths, [change("ipv4", "192.0.2.30/24")]).expect("the repair is accepted");
        assert!(salvaged.mistakes.is_empty());
        let kept = load(&paths).expect("read").expect("kept");
        assert!(kept.settled);
        assert_eq!(kept.source, Source::Console);
        assert_eq!(kept.given.get("ipv4"), Some("192.0.2.30/24"));
        assert_eq!(kept.given.get("hostname"), Some("one.example.com"));
    }

    #[test]
    fn a_repair_takes_no_stand_in_for_a_secret_and_forgets_what_is_no_property() {
        let (_home, paths) = home();
        store(
            &paths,
            &kept(&[
                ("http_proxy", "http://ada:hunter2@proxy.example.com:3128"),
                ("jion_code", "x"),
            ]),
        )
        .expect("written");
        let stand_in = change("http_proxy", "http://(hidden)@proxy.example.com:8080");
        let refused = amend(&paths, [stand_in]).expect_err("nobody is called like that");
        assert!(refused.to_string().contains("stands for a secret"), "{refused}");
        amend(&paths, [change("dns", "192.0.2.53")]).expect("a good answer");
        let given = load(&paths).expect("read").expect("kept").given;
        assert_eq!(given.get("http_proxy"), Some("http://ada:hunter2@proxy.example.com:3128"));
        assert_eq!(given.get("jion_code"), None);
    }

    #[test]
    fn answers_of_a_newer_version_count_as_far_as_they_are_known() {
        let (_home, paths) = home();
        store(&paths, &kept(&[("ipv4", "192.0.2.30/24")])).expect("written");
        let text = fs::read_to_string(public_file(&paths)).expect("there");
        let newer = text.replace("\"format\": 1", "\"format\": 2, \"more\": {}");
        assert_ne!(newer, text);
        fs::write(public_file(&paths), newer).expect("written");
        let kept = load(&paths).expect("read").expect("kept");
        assert_eq!(kept.given.get("ipv4"), Some("192.0.2.30/24"));
    }

    #[test]
    fn a_repair_that_is_wrong_itself_changes_nothing() {
        let (_home, paths) = home();
        let before = kept(&[("ipv4", "192.0.2.10/24"), ("gateway", "192.0.2.1")]);
        store(&paths, &before).expect("written");
        // Right on its own, and the gateway is outside of it.
        let refused = amend(&paths, [change("ipv4", "198.51.100.10/24")]);
        let Err(AmendError::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
        assert_eq!(mistakes[0].key, "gateway");
        assert_eq!(load(&paths).expect("read"), Some(before));
    }

    #[test]
    fn one_of_two_mistakes_can_be_repaired_first() {
        let (_home, paths) = home();
        store(&paths, &kept(&[("ipv4", "nonsense"), ("dns", "nonsense")])).expect("written");
        let salvaged = amend(&paths, [change("dns", "")]).expect("accepted");
        assert_eq!(salvaged.mistakes.len(), 1);
        assert_eq!(salvaged.mistakes[0].key, "ipv4");
    }

    #[test]
    fn the_report_says_what_waits_and_why() {
        let (_home, paths) = home();
        assert_eq!(read_report(&paths).expect("read"), None);
        let salvaged = salvage(&[("role", "queen"), ("dns", "192.0.2.53")].into_iter().collect());
        let report = Report::of(Source::CdRom, &salvaged);
        write_report(&paths, &report).expect("written");
        assert_eq!(read_report(&paths).expect("read").as_ref(), Some(&report));
        assert!(report.waiting.expect("it waits").contains("role"));
    }
}
