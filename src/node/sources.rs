//! Where the operator's answers come from.
//!
//! Owns: the order of the sources, how long they are waited for, and reading
//! them from a hypervisor or a disc.
//! Must not know: what the answers mean.
//!
//! 1. VMware's guestinfo, in a virtual machine of VMware only.
//! 2. `ovf-env.xml` on a CD-ROM.
//! 3. A seed of cloud-init on a file system labelled `cidata`; [`nocloud`] says
//!    which part of it is understood.
//!
//! The first that has answers is used alone. A source that is there and cannot
//! be read is reported, and the next one is asked.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    answers::Source,
    host::Host,
    ovf_environment::{self, MOST_BYTES},
    properties::{Mistake, RawAnswers},
};
use crate::files;

pub mod nocloud;

/// How long a drive may take to appear after udev is done.
const DRIVE_PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What the sources have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one was used.
    pub source: Source,
    /// Its answers.
    pub given: RawAnswers,
    /// Sources that are there and cannot be read.
    pub unreadable: Vec<Mistake>,
}

/// Asks the sources in their order.
pub async fn ask(host: &Host) -> Found {
    let mut unreadable = Vec::new();
    let sources = [Source::Guestinfo, Source::CdRom, Source::NoCloud];
    for source in sources {
        let answers = match source {
            Source::Guestinfo => guestinfo(host).await,
            Source::CdRom => cd_rom(host).await,
            _ => seed(host).await,
        };
        match answers {
            Ok(Some(given)) => return Found { source, given, unreadable },
            Ok(None) => {}
            Err(why) => unreadable.push(Mistake {
                key: source_key(source).to_owned(),
                given: None,
                wrong: format!("cannot be read: {why}").chars().take(70).collect(),
                instead: "mend it".to_owned(),
            }),
        }
    }
    Found { source: Source::Nobody, given: RawAnswers::default(), unreadable }
}

fn source_key(source: Source) -> &'static str {
    match source {
        Source::Guestinfo => "guestinfo.ovfEnv",
        Source::CdRom => "ovf-env.xml",
        _ => "cloud-init seed",
    }
}

async fn guestinfo(host: &Host) -> Result<Option<RawAnswers>, String> {
    let virt = host.run("systemd-detect-virt", ["--vm"]).await.map_err(|e| e.to_string())?;
    if virt.stdout.trim() != "vmware" {
        return Ok(None);
    }
    let said = host.run("vmtoolsd", ["--cmd", "info-get guestinfo.ovfEnv"]).await;
    let said = said.map_err(|error| error.to_string())?;
    // Without an environment it ends with a failure and a remark.
    if !said.success || said.stdout.trim().is_empty() {
        return Ok(None);
    }
    if said.stdout.contains(char::REPLACEMENT_CHARACTER) {
        return Err("it is no UTF-8".to_owned());
    }
    ovf_environment::read(&said.stdout).map(Some).map_err(|error| error.to_string())
}

async fn cd_rom(host: &Host) -> Result<Option<RawAnswers>, String> {
    // Everything that was there at power-on has its name after this.
    let _ = host.run("udevadm", ["settle", "--timeout=20"]).await;
    let drives = drives(host).await;
    for drive in drives {
        let found = mounted(host, &drive, &["iso9660"], |disc| {
            read_file(disc, "ovf-env.xml").map(|text| text.map(|text| vec![text]))
        });
        let Some(texts) = found.await? else { continue };
        let answers = ovf_environment::read(&texts.concat());
        return answers.map(Some).map_err(|error| error.to_string());
    }
    Ok(None)
}

/// The CD-ROM drives; the first may still be on its way.
async fn drives(host: &Host) -> Vec<PathBuf> {
    let until = Instant::now() + DRIVE_PATIENCE;
    loop {
        let found = named(&host.paths().at("/dev"), |name| {
            name.strip_prefix("sr").is_some_and(|n| n.parse::<u8>().is_ok())
        });
        if !found.is_empty() || Instant::now() >= until {
            return found;
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn seed(host: &Host) -> Result<Option<RawAnswers>, String> {
    let labelled =
        named(&host.paths().at("/dev/disk/by-label"), |name| name.eq_ignore_ascii_case("cidata"));
    for device in labelled {
        let found = mounted(host, &device, &["iso9660", "vfat"], |disc| {
            // Without this file cloud-init would not take it for a seed either.
            let Some(meta) = read_file(disc, "meta-data")? else { return Ok(None) };
            let user = read_file(disc, "user-data")?.unwrap_or_default();
            let network = read_file(disc, "network-config")?.unwrap_or_default();
            Ok(Some(vec![meta, user, network]))
        });
        let Some(texts) = found.await? else { continue };
        let [meta, user, network] = &texts[..] else { continue };
        return nocloud::read(meta, user, network).map(Some);
    }
    Ok(None)
}

/// Entries of a directory whose name `fits`, in alphabetical order.
fn named(directory: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&fits))
        .collect();
    found.sort();
    found
}

/// Mounts `device` for as long as `read` takes; nothing when there is no disc
/// or no file system of these kinds.
async fn mounted<T>(
    host: &Host,
    device: &Path,
    kinds: &[&str],
    read: impl Fn(&Path) -> io::Result<Option<T>>,
) -> Result<Option<T>, String> {
    let place = host.paths().run().join("medium");
    files::make_directory(&place, 0o700).map_err(|error| error.to_string())?;
    // Of a first boot that was interrupted and started again.
    let _ = host.run("umount", [&place]).await;
    for kind in kinds {
        let options = "ro,nodev,nosuid,noexec";
        let words = ["-t", *kind, "-o", options].map(OsStr::new);
        let words = words.into_iter().chain([device.as_os_str(), place.as_os_str()]);
        if host.must("mount", words).await.is_err() {
            continue;
        }
        let found = read(&place);
        host.must("umount", [&place]).await.map_err(|error| error.to_string())?;
        return found.map_err(|error| error.to_string());
    }
    Ok(None)
}

/// A plain file of a disc, whatever the case of its name; nothing when there is none.
fn read_file(disc: &Path, name: &str) -> io::Result<Option<String>> {
    let found = named(disc, |entry| entry.eq_ignore_ascii_case(name));
    let Some(path) = found.first() else { return Ok(None) };
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other(format!("{name} is no plain file")));
    }
    if metadata.len() > MOST_BYTES as u64 {
        return Err(io::Error::other(format!("{name} is too large")));
    }
    files::read_text(path)
}

#[cfg(test)]
mod tests;
