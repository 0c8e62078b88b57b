//! What happens before the network is up, at every boot.
//!
//! Owns: the order: answers, their check, the files that follow from them, the
//! host name and the host key. Changing answers in a machine that runs.
//! Must not know: what is in the files, or where answers and the place in a
//! cluster come from.
//!
//! Everything can be done again: power may be lost at any moment, and the next
//! boot finishes the job. What lasts is written as one step; the rest is in
//! `/run` and rendered anew. The management plane makes its keystore and its
//! certificate itself when it starts for the first time.

use std::{collections::BTreeSet, fmt::Write as _, fs, io, path::Path};

use super::{
    answers::{self, AmendError, Kept, Report, Source},
    ha::place::Place,
    host::Host,
    network::{Card, full_name, in_order},
    properties::{Mistake, RawAnswers, Salvaged, salvage},
    render::{self, Reader, Standing, Wanted},
    sources,
};
use crate::files::{self, PRIVATE, PUBLIC};

/// The system's own bundle of certificates.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The name of sshd's host key below the node's state.
pub const HOST_KEY: &str = "ssh/ed25519";

/// Does all that a boot needs. Answers a sentence for the journal.
pub async fn run(host: &Host) -> io::Result<String> {
    let (kept, unreadable) = current_answers(host).await?;
    let salvaged = salvage(&kept.given);
    let cards = cards(host);
    let standing = standing(host, &salvaged, &cards);
    let mut report = report(kept.source, &salvaged, &standing);
    report.mistakes = [unreadable, report.mistakes].concat();
    answers::write_report(host.paths(), &report)?;
    host_key(host, &salvaged).await?;
    let wanted = wanted(host, &salvaged, &standing, &cards)?;
    write(&wanted)?;
    for line in render::at_boot(&wanted, &standing) {
        carry_out(host, &line).await?;
    }
    Ok(sentence(&report, &salvaged, &cards))
}

/// Changes some answers and does at once what follows. The report of what is
/// still wrong is written too. An error in a consequence is one of this machine:
/// the answers are kept, and the next boot finishes the job.
pub async fn amend(
    host: &Host,
    changes: impl IntoIterator<Item = (String, String)>,
) -> Result<Report, AmendError> {
    answers::amend(host.paths(), changes)?;
    Ok(apply(host).await?)
}

/// Does at once what follows from the answers that are kept, and from the place
/// in a cluster. Only those whose files have changed are told.
pub async fn apply(host: &Host) -> io::Result<Report> {
    let kept = answers::load(host.paths())?
        .ok_or_else(|| io::Error::other("nothing has been answered on this machine yet"))?;
    let salvaged = salvage(&kept.given);
    let cards = cards(host);
    let standing = standing(host, &salvaged, &cards);
    let report = report(kept.source, &salvaged, &standing);
    answers::write_report(host.paths(), &report)?;
    host_key(host, &salvaged).await?;
    let wanted = wanted(host, &salvaged, &standing, &cards)?;
    let readers = write(&wanted)?;
    let mut failed = None;
    for line in render::consequences(&wanted, readers) {
        // One service that does not start must not keep the others from theirs.
        if let Err(error) = carry_out(host, &line).await {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(report), Err)
}

/// The answers that count, and sources that could not be read.
async fn current_answers(host: &Host) -> io::Result<(Kept, Vec<Mistake>)> {
    let paths = host.paths();
    let kept = match answers::load(paths) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!("the answers that were kept cannot be read and count no more: {error}");
            answers::set_aside(paths)?;
            None
        }
        Err(error) => return Err(error),
    };
    if let Some(kept) = kept.as_ref().filter(|kept| kept.settled) {
        return Ok((kept.clone(), Vec::new()));
    }
    let found = sources::ask(host).await;
    let now = match kept.clone() {
        // What a person could not mend yet is better than nothing.
        Some(kept) if found.source == Source::Nobody => kept,
        _ => {
            let settled =
                found.source != Source::Nobody && salvage(&found.given).mistakes.is_empty();
            Kept { source: found.source, settled, given: found.given }
        }
    };
    if kept.as_ref() != Some(&now) {
        answers::store(paths, &now)?;
    }
    Ok((now, found.unreadable))
}

/// The network cards of this machine that are hardware.
fn cards(host: &Host) -> Vec<Card> {
    let Ok(entries) = fs::read_dir(host.paths().at("/sys/class/net")) else { return Vec::new() };
    let card = |path: std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        // Bridges and the like have no device.
        path.join("device").exists().then_some(())?;
        let mac = files::read_text(&path.join("address")).ok()??.trim().to_ascii_lowercase();
        let pairs: Vec<_> = mac.split(':').collect();
        let hex = |pair: &&str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        (pairs.len() == 6 && pairs.iter().all(hex)).then_some(Card { name, mac })
    };
    in_order(entries.filter_map(|entry| card(entry.ok()?.path())).collect())
}

/// What this machine is among others, by what it has kept of that.
fn standing(host: &Host, salvaged: &Salvaged, cards: &[Card]) -> Standing {
    Standing::of(host.paths(), Place::load(host.paths()), &salvaged.answers, cards)
}

/// What there is to say of the answers, and why the management plane does not run.
fn report(source: Source, salvaged: &Salvaged, standing: &Standing) -> Report {
    Report { waiting: standing.plane(salvaged).err(), ..Report::of(source, salvaged) }
}

fn wanted(
    host: &Host,
    salvaged: &Salvaged,
    standing: &Standing,
    cards: &[Card],
) -> io::Result<Vec<Wanted>> {
    let authorities = files::read_text(&host.paths().at(AUTHORITIES))?.unwrap_or_default();
    Ok(render::files(host.paths(), salvaged, standing, cards, &authorities))
}

/// The settings that the management plane has in this place. An error when it
/// has none there.
pub fn settings_in(host: &Host, place: &Place) -> io::Result<String> {
    let kept = answers::load(host.paths())?
        .ok_or_else(|| io::Error::other("nothing has been answered on this machine yet"))?;
    let (salvaged, cards) = (salvage(&kept.given), cards(host));
    let place = Ok(Some(place.clone()));
    let standing = Standing::of(host.paths(), place, &salvaged.answers, &cards);
    let wanted = wanted(host, &salvaged, &standing, &cards)?;
    let settings = host.paths().serve_settings();
    let settings = wanted.into_iter().find(|file| file.path == settings);
    settings
        .and_then(|file| file.content)
        .ok_or_else(|| io::Error::other("this node has no management plane in its role"))
}

/// Makes the files as they have to be. Answers who has to be told.
fn write(wanted: &[Wanted]) -> io::Result<Vec<Reader>> {
    let mut changed = BTreeSet::new();
    for Wanted { path, content, mode, reader } in wanted {
        let has_changed = match content {
            Some(content) => files::renew(path, content.as_bytes(), *mode)?,
            None => files::remove(path)?,
        };
        if has_changed {
            changed.insert(*reader);
        }
    }
    Ok(changed.into_iter().collect())
}

/// Makes the host key of sshd once, as soon as somebody may come in.
async fn host_key(host: &Host, salvaged: &Salvaged) -> io::Result<()> {
    let key = host.paths().state().join(HOST_KEY);
    let making = host.paths().state().join("ssh.making");
    // A power cut may have left a second copy of the key there.
    remove_directory(&making)?;
    if salvaged.answers.ssh_public_key.is_none() || key.exists() {
        return Ok(());
    }
    files::make_directory(&making, 0o700)?;
    let new = making.join("key");
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"].map(std::ffi::OsStr::new);
    host.must("ssh-keygen", arguments.into_iter().chain([new.as_os_str()])).await?;
    let read = |path: &Path| {
        files::read(path)?.ok_or_else(|| io::Error::other("ssh-keygen has made no key"))
    };
    let (private, public) = (read(&new)?, read(&new.with_extension("pub"))?);
    // The private one last: where it is, both are.
    files::replace(&key.with_extension("pub"), &public, PUBLIC)?;
    files::replace(&key, &private, PRIVATE)?;
    remove_directory(&making)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn carry_out(host: &Host, line: &[String]) -> io::Result<()> {
    let Some((program, arguments)) = line.split_first() else { return Ok(()) };
    host.must(program, arguments).await
}

/// What happened, for the journal and the screen.
fn sentence(report: &Report, salvaged: &Salvaged, cards: &[Card]) -> String {
    let answers = &salvaged.answers;
    let address = match (answers.ipv4, answers.ipv6) {
        (Some(address), _) | (None, Some(address)) => address.to_string(),
        (None, None) => "an address from DHCP".to_owned(),
    };
    let card = cards.first().map_or("no network card", |card| card.name.as_str());
    let mut text = format!(
        "Answers from {}: {} with {address} on {card}, role {}.",
        report.source.as_str(),
        full_name(answers),
        answers.role.as_str(),
    );
    if let Some(waiting) = &report.waiting {
        text.push(' ');
        text.push_str(waiting);
    }
    match report.mistakes.len() {
        0 => {}
        1 => text.push_str(" One property is wrong; the console says which."),
        n => {
            // Writing into a string cannot fail.
            let _ = write!(text, " {n} properties are wrong; the console says which.");
        }
    }
    text
}

/// What was answered, as everybody may read it, in the order of the table.
pub fn shown(given: &RawAnswers) -> Vec<(String, String)> {
    let known: Vec<_> = super::properties::TABLE.iter().map(|property| property.key).collect();
    let other = given.iter().map(|(key, _)| key).filter(|key| !known.contains(key));
    let keys = known.iter().copied().chain(other);
    keys.filter_map(|key| Some((key.to_owned(), given.shown(key)?))).collect()
}

#[cfg(test)]
mod tests;
