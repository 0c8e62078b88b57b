//! Discs and hypervisors, played by directories and scripts.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

/// A machine of directories: discs are folders, and `mount` copies them.
struct Machine {
    home: tempfile::TempDir,
    host: Host,
}

const MOUNT: &str = r#"#!/bin/sh
# mount -t KIND -o OPTIONS DEVICE PLACE
[ "$4" = ro,nodev,nosuid,noexec ] || exit 9
kind=$(cat "$5/kind" 2>/dev/null) || { echo 'no medium found' >&2; exit 32; }
[ "$2" = "$kind" ] || { echo 'wrong fs type' >&2; exit 32; }
cp -r "$5/files/." "$6/"
echo "$5" >>"$6/../mounts"
"#;
const UMOUNT: &str = "#!/bin/sh\nrm -rf \"$1\"/* \n";

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let programs = home.path().join("programs");
        fs::create_dir_all(&programs).expect("made");
        fs::create_dir_all(home.path().join("dev/disk/by-label")).expect("made");
        let host = Host::below(home.path(), &programs);
        let machine = Self { home, host };
        machine.program("udevadm", "#!/bin/sh\n");
        machine.program("mount", MOUNT);
        machine.program("umount", UMOUNT);
        machine.program("systemd-detect-virt", "#!/bin/sh\necho kvm\n");
        machine
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.home.path().join("programs").join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn disc(&self, device: &str, kind: &str, files: &[(&str, &str)]) {
        let device = self.home.path().join("dev").join(device);
        fs::create_dir_all(device.join("files")).expect("made");
        fs::write(device.join("kind"), kind).expect("written");
        for (name, text) in files {
            fs::write(device.join("files").join(name), text).expect("written");
        }
    }

    fn empty_drive(&self, device: &str) {
        fs::create_dir_all(self.home.path().join("dev").join(device)).expect("made");
    }
}

fn environment(hostname: &str) -> String {
    format!(
        r#"<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1"
        xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"><PropertySection>
        <Property oe:key="hostname" oe:value="{hostname}"/></PropertySection></Environment>"#
    )
}

fn hostname(found: &Found) -> Option<&str> {
    found.given.get("hostname")
}

#[tokio::test]
async fn guestinfo_is_asked_first_and_in_vmware_only() {
    let machine = Machine::new();
    machine.disc("sr0", "iso9660", &[("ovf-env.xml", &environment("disc"))]);
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = '--cmd info-get guestinfo.ovfEnv' ] || exit 9\ncat <<'E'\n{}\nE\n",
        environment("guest")
    );
    machine.program("vmtoolsd", &script);
    let found = ask(&machine.host).await;
    assert_eq!((found.source, hostname(&found)), (Source::CdRom, Some("disc")));
    machine.program("systemd-detect-virt", "#!/bin/sh\necho vmware\n");
    let found = ask(&machine.host).await;
    assert_eq!((found.source, hostname(&found)), (Source::Guestinfo, Some("guest")));
    assert!(found.unreadable.is_empty());
    machine.program("vmtoolsd", "#!/bin/sh\necho 'No value found' >&2\nexit 1\n");
    assert_eq!(ask(&machine.host).await.source, Source::CdRom);
}

#[tokio::test]
async fn the_disc_may_be_in_the_second_drive_and_its_names_in_capitals() {
    let machine = Machine::new();
    machine.empty_drive("sr0");
    machine.disc("sr1", "iso9660", &[("OVF-ENV.XML", &environment("one"))]);
    let found = ask(&machine.host).await;
    assert_eq!((found.source, hostname(&found)), (Source::CdRom, Some("one")));
    let place = machine.host.paths().run().join("medium");
    assert_eq!(fs::read_dir(place).expect("there").count(), 0, "it is unmounted again");
}

#[tokio::test]
async fn a_seed_is_read_when_there_is_no_ovf_environment() {
    let machine = Machine::new();
    machine.disc("sr0", "iso9660", &[("setup.exe", "")]);
    machine.disc("disk/by-label/CIDATA", "vfat", &[("meta-data", "local-hostname: one")]);
    let found = ask(&machine.host).await;
    assert_eq!((found.source, hostname(&found)), (Source::NoCloud, Some("one")));
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_named_and_the_next_one_is_asked() {
    let machine = Machine::new();
    machine.disc("sr0", "iso9660", &[("ovf-env.xml", "<Environment/>")]);
    machine.disc("disk/by-label/cidata", "iso9660", &[("meta-data", "local-hostname: one")]);
    let found = ask(&machine.host).await;
    assert_eq!((found.source, hostname(&found)), (Source::NoCloud, Some("one")));
    assert_eq!(
        found.unreadable[0].to_string(),
        "ovf-env.xml: cannot be read: it is no OVF environment; mend it"
    );
}

#[tokio::test]
async fn a_link_on_a_disc_leads_nowhere() {
    let machine = Machine::new();
    machine.disc("sr0", "iso9660", &[]);
    let secret = machine.home.path().join("secret");
    fs::write(&secret, environment("secret")).expect("written");
    let link = machine.home.path().join("dev/sr0/files/ovf-env.xml");
    std::os::unix::fs::symlink(&secret, link).expect("linked");
    let found = ask(&machine.host).await;
    assert_eq!(found.source, Source::Nobody);
    assert!(found.unreadable[0].wrong.contains("no plain file"), "{:?}", found.unreadable);
}

#[tokio::test]
async fn a_drive_that_appears_late_is_waited_for() {
    let machine = Machine::new();
    let text = environment("late");
    let (found, ()) = tokio::join!(ask(&machine.host), async {
        sleep(LOOK_AGAIN * 3).await;
        // The kind is written last: the drive is there only when it is whole.
        let device = machine.home.path().join("dev/late");
        machine.disc("late", "iso9660", &[("ovf-env.xml", &text)]);
        fs::rename(device, machine.home.path().join("dev/sr0")).expect("renamed");
    });
    assert_eq!(hostname(&found), Some("late"));
}

#[tokio::test]
async fn without_any_source_nobody_has_answered() {
    let machine = Machine::new();
    let found = ask(&machine.host).await;
    assert_eq!(found.source, Source::Nobody);
    assert!(found.given.is_empty() && found.unreadable.is_empty());
}
