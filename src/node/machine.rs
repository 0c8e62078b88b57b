//! What the kernel and the image say of this machine.
//!
//! Owns: reading and understanding those files; no other program is needed.
//! Must not know: what the appliance makes of it. The screen uses this too
//! when the daemon is down.

mod network;

use std::{fs, io, path::Path};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{
    paths::Paths,
    protocol::{Interface, Share},
};

/// A moment of the machine. What cannot be read is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The version of the image, or of this program outside of an image.
    pub version: String,
    /// The host's name.
    pub host: String,
    /// How long it has been up.
    pub uptime_seconds: u64,
    /// Processors.
    pub processors: u16,
    /// Processes that wanted to run, on average over the last minute.
    pub load: Option<f64>,
    /// Memory.
    pub memory: Option<Share>,
    /// The data partition.
    pub data_disk: Option<Share>,
    /// The network, without the loopback.
    pub interfaces: Vec<Interface>,
    /// Whether a time server has set the clock; absent when nobody asks one.
    pub clock_synchronised: Option<bool>,
}

impl Machine {
    /// As it is now. Blocks for some microseconds.
    pub fn read(paths: &Paths) -> Self {
        let kernel = |file: &str| fs::read_to_string(Path::new("/proc").join(file));
        let text = |file| kernel(file).unwrap_or_default();
        let first = |text: &str| text.split_whitespace().next()?.parse::<f64>().ok();
        let version = image(paths).and_then(|image| image.version);
        let version = version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        Self {
            version,
            host: text("sys/kernel/hostname").trim().to_owned(),
            uptime_seconds: std::time::Duration::from_secs_f64(
                first(&text("uptime")).unwrap_or_default().max(0.0),
            )
            .as_secs(),
            processors: processors(&text("cpuinfo")),
            load: first(&text("loadavg")),
            memory: memory(&text("meminfo")),
            // The data's own directory is closed to the screen; it is on the same partition.
            data_disk: disk(&paths.at("/var/lib")),
            interfaces: network::interfaces(),
            clock_synchronised: clock_synchronised(paths),
        }
    }

    /// Its addresses without the length of the network, usable in a browser.
    pub fn addresses(&self) -> Vec<String> {
        addresses(&self.interfaces)
    }
}

/// The addresses of `interfaces` as they stand in a URL. Addresses that are
/// good on one link only are left out.
pub fn addresses(interfaces: &[Interface]) -> Vec<String> {
    let all = interfaces.iter().flat_map(|interface| &interface.addresses);
    all.filter_map(|address| address.split('/').next())
        .filter(|address| !address.starts_with("fe80:"))
        .map(
            |address| {
                if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
            },
        )
        .collect()
}

/// systemd-timesyncd leaves a file when it has heard from a server.
fn clock_synchronised(paths: &Paths) -> Option<bool> {
    let directory = paths.at("/run/systemd/timesync");
    directory.exists().then(|| directory.join("synchronized").exists())
}

/// Where the operating system says what it is.
pub const OS_RELEASE: &str = "/usr/lib/os-release";

/// What our image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its version.
    pub version: Option<String>,
}

/// The image; nothing where the operating system is another.
pub fn image(paths: &Paths) -> Option<Image> {
    image_of(&fs::read_to_string(paths.at(OS_RELEASE)).ok()?)
}

fn image_of(os_release: &str) -> Option<Image> {
    let value = |name: &str| {
        let mut lines = os_release.lines();
        let value = lines.find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
        let value = value.trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    let ours = value("IMAGE_ID").is_some_and(|id| id == "palisade");
    ours.then(|| Image { version: value("IMAGE_VERSION") })
}

fn processors(cpuinfo: &str) -> u16 {
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    u16::try_from(count.max(1)).unwrap_or(u16::MAX)
}

/// Memory, by the text of `/proc/meminfo`.
pub fn memory(meminfo: &str) -> Option<Share> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let total = bytes("MemTotal:")?;
    Some(Share { total, used: total.saturating_sub(bytes("MemAvailable:")?) })
}

fn disk(directory: &Path) -> Option<Share> {
    let room = room(directory).ok()?;
    Some(Share { total: room.size, used: room.used })
}

/// The room in a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub size: u64,
    /// What is taken.
    pub used: u64,
    /// What may still be written; root keeps some for itself.
    pub free: u64,
    /// How many files there can be.
    pub files: u64,
    /// How many more.
    pub files_free: u64,
    /// It cannot be written.
    pub read_only: bool,
}

/// The room in the file system of a directory.
pub fn room(directory: &Path) -> io::Result<Room> {
    let found = statvfs(directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let size = bytes(found.f_blocks);
    Ok(Room {
        size,
        used: size.saturating_sub(bytes(found.f_bfree)),
        free: bytes(found.f_bavail),
        files: found.f_files,
        files_free: found.f_favail,
        read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_machine_has_memory_a_disk_and_processors() {
        let place = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(place.path());
        fs::create_dir_all(paths.data()).expect("made");
        let machine = Machine::read(&paths);
        assert!(machine.memory.is_some_and(|share| share.total > share.used && share.used > 0));
        assert!(machine.data_disk.is_some_and(|share| share.total >= share.used));
        assert!(machine.processors >= 1 && machine.load.is_some());
        assert!(!machine.host.is_empty());
        assert_eq!(machine.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(machine.clock_synchronised, None);
    }

    #[test]
    fn the_version_is_the_one_of_the_image() {
        for text in [
            "ID=debian\nIMAGE_ID=palisade\nIMAGE_VERSION=\"1.4.0\"\n",
            "IMAGE_VERSION=1.4.0\nIMAGE_ID=\"palisade\"\n",
            "IMAGE_ID='palisade'\nIMAGE_VERSION='1.4.0'",
        ] {
            let version = Some("1.4.0".to_owned());
            assert_eq!(image_of(text), Some(Image { version }), "{text}");
        }
        assert_eq!(image_of("IMAGE_ID=palisade\nIMAGE_VERSION=\n"), Some(Image { version: None }));
        assert_eq!(image_of("IMAGE_ID=palisade-like\nIMAGE_VERSION=2\n"), None);
        assert_eq!(image_of("IMAGE_VERSION=2\n"), None);
    }

    #[test]
    fn addresses_for_a_browser_leave_out_those_of_one_link_only() {
        let interface = Interface {
            name: "ens192".to_owned(),
            mac: "00:50:56:00:00:01".to_owned(),
            up: true,
            addresses: ["10.1.2.3/24", "fe80::1/64", "2001:db8::3/64"].map(str::to_owned).to_vec(),
        };
        assert_eq!(addresses(&[interface]), ["10.1.2.3", "[2001:db8::3]"]);
    }
}
