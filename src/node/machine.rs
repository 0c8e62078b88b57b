//! What the kernel and the image say of this machine.
//!
//! Owns: reading and understanding those files; no other program is needed.
//! Must not know: what the appliance makes of it. The screen uses this too
//! when the daemon is down.

mod network;

use std::{fs, path::Path};

use rustix::fs::statvfs;

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
        let version = fs::read_to_string(paths.at("/usr/lib/os-release"))
            .ok()
            .and_then(|text| image_version(&text))
            .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
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

fn image_version(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="))?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty()).then(|| value.to_owned())
}

fn processors(cpuinfo: &str) -> u16 {
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    u16::try_from(count.max(1)).unwrap_or(u16::MAX)
}

fn memory(meminfo: &str) -> Option<Share> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let total = bytes("MemTotal:")?;
    Some(Share { total, used: total.saturating_sub(bytes("MemAvailable:")?) })
}

fn disk(directory: &Path) -> Option<Share> {
    let found = statvfs(directory).ok()?;
    let total = found.f_blocks * found.f_frsize;
    Some(Share { total, used: total.saturating_sub(found.f_bfree * found.f_frsize) })
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
        let text = "ID=debian\nIMAGE_ID=palisade\nIMAGE_VERSION=\"1.4.0\"\n";
        assert_eq!(image_version(text).as_deref(), Some("1.4.0"));
        assert_eq!(image_version("IMAGE_VERSION=\n"), None);
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
