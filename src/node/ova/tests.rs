//! Packages that are whole, and packages that somebody has touched.

use std::{fs, io::Write as _, path::PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, SigningKey as _};

use super::*;
use crate::node::descriptor::{Package, descriptor};

const CAPACITY: u64 = 4 << 20;

/// The head of a disk as `qemu-img` writes it, with something after it.
fn disk(content_id: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 512];
    bytes[..4].copy_from_slice(b"KDMV");
    bytes[4..8].copy_from_slice(&3_u32.to_le_bytes());
    bytes[8..12].copy_from_slice(&0x3_0001_u32.to_le_bytes());
    bytes[12..20].copy_from_slice(&(CAPACITY / 512).to_le_bytes());
    bytes[28..36].copy_from_slice(&1_u64.to_le_bytes());
    bytes[36..44].copy_from_slice(&20_u64.to_le_bytes());
    let description =
        format!("# Disk DescriptorFile\nversion=1\nCID={content_id}\nparentCID=ffffffff\n");
    bytes[512..512 + description.len()].copy_from_slice(description.as_bytes());
    bytes[22 * 512..].fill(7);
    bytes
}

/// A package in the making; every part can be exchanged.
struct Parts {
    home: tempfile::TempDir,
    members: Vec<(String, Vec<u8>)>,
}

impl Parts {
    fn new() -> Self {
        let disk = disk("fffffffe");
        let package = Package {
            version: "1.2.3",
            disk: "palisade-disk1.vmdk",
            size: disk.len() as u64,
            capacity: CAPACITY,
        };
        let descriptor = descriptor(&package).into_bytes();
        let digest = |bytes: &[u8]| HEXLOWER.encode(&Sha256::digest(bytes));
        let manifest = format!(
            "SHA256(palisade.ovf)= {}\nSHA256(palisade-disk1.vmdk)= {}\n",
            digest(&descriptor),
            digest(&disk)
        );
        let members = vec![
            ("palisade.ovf".to_owned(), descriptor),
            ("palisade.mf".to_owned(), manifest.into_bytes()),
            ("palisade-disk1.vmdk".to_owned(), disk),
        ];
        Self { home: tempfile::tempdir().expect("a directory"), members }
    }

    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        let found = self.members.iter_mut().find(|(found, _)| found == name);
        &mut found.expect("a member").1
    }

    fn write(&self) -> PathBuf {
        let path = self.home.path().join("palisade.ova");
        let mut archive = tar::Builder::new(fs::File::create(&path).expect("made"));
        for (name, bytes) in &self.members {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, &bytes[..]).expect("added");
        }
        archive.finish().expect("finished");
        path
    }

    fn wrong(&self) -> String {
        verify(&self.write()).expect_err("something is wrong").join("\n")
    }
}

#[test]
fn a_whole_package_is_accepted() {
    let verified = verify(&Parts::new().write()).expect("whole");
    let names: Vec<_> = verified.members.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["palisade.ovf", "palisade.mf", "palisade-disk1.vmdk"]);
    assert_eq!(verified.signer, None);
}

#[test]
fn one_flipped_bit_anywhere_in_the_disk_is_found() {
    let length = Parts::new().member("palisade-disk1.vmdk").len();
    for place in [22 * 512, length / 2 + 7_000, length - 1] {
        let mut parts = Parts::new();
        parts.member("palisade-disk1.vmdk")[place] ^= 1;
        assert_eq!(
            parts.wrong(),
            "palisade-disk1.vmdk is damaged: its digest is not that of palisade.mf"
        );
    }
}

#[test]
fn a_descriptor_that_does_not_belong_to_the_manifest_is_found() {
    let mut parts = Parts::new();
    let text = String::from_utf8(parts.member("palisade.ovf").clone()).expect("text");
    *parts.member("palisade.ovf") = text.replace("1.2.3", "1.2.4").into_bytes();
    assert!(parts.wrong().contains("palisade.ovf is damaged"));
}

#[test]
fn the_manifest_names_what_is_there_and_nothing_else() {
    let mut parts = Parts::new();
    parts.members.push(("extra.iso".to_owned(), b"more".to_vec()));
    assert!(parts.wrong().contains("palisade.mf does not name extra.iso"));
    let mut parts = Parts::new();
    parts.member("palisade.mf").extend(b"SHA256(lost.vmdk)= 00\nnonsense\n");
    let wrong = parts.wrong();
    assert!(wrong.contains("names lost.vmdk, which is missing"), "{wrong}");
    assert!(wrong.contains("a line that is no entry"), "{wrong}");
}

#[test]
fn the_members_come_in_the_order_that_importers_want() {
    let mut parts = Parts::new();
    parts.members.swap(1, 2);
    assert!(parts.wrong().contains("in the order .ovf, .mf, .cert, .vmdk"));
    let mut parts = Parts::new();
    parts.members.remove(1);
    assert!(parts.wrong().contains("exactly one manifest"));
}

#[test]
fn extensions_of_the_archive_format_are_refused() {
    let parts = Parts::new();
    let path = parts.write();
    let mut archive = tar::Builder::new(fs::File::create(&path).expect("made"));
    archive.append_pax_extensions([("mtime", &b"1.5"[..])]).expect("added");
    for (name, bytes) in &parts.members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, &bytes[..]).expect("added");
    }
    archive.finish().expect("finished");
    let wrong = verify(&path).expect_err("refused").join("\n");
    assert!(wrong.contains("palisade.ovf is not stored in the ustar format"), "{wrong}");
    assert!(wrong.contains("is no plain file"), "{wrong}");
}

#[test]
fn a_disk_of_another_kind_is_refused() {
    for (place, value, said) in
        [(0, 0, "it is no VMDK"), (4, 1, "not stream-optimised"), (10, 0, "not stream-optimised")]
    {
        let mut start = disk("1");
        start[place] = value;
        assert!(super::disk::Header::read(&start).expect_err("refused").contains(said));
    }
    assert!(super::disk::Header::read(&disk("1")[..30]).is_err());
}

#[test]
fn the_random_content_id_becomes_a_fixed_one() {
    let home = tempfile::tempdir().expect("a directory");
    let mut settled = Vec::new();
    for id in ["7", "deadbeef"] {
        let path = home.path().join(id);
        fs::write(&path, disk(id)).expect("written");
        let mut file = fs::File::options().read(true).write(true).open(&path).expect("opened");
        let header = super::disk::settle(&mut file).expect("settled");
        assert_eq!(header.capacity, CAPACITY);
        file.flush().expect("written");
        settled.push(fs::read(&path).expect("read"));
    }
    assert_eq!(settled[0], settled[1]);
    assert_eq!(settled[0], disk("fffffffe"));
}

#[test]
fn the_signature_is_checked_with_the_key_of_the_certificate() {
    let sign = |manifest: &[u8]| {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        let params = CertificateParams::new(Vec::new()).expect("parameters");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let signature = HEXLOWER.encode(&key.sign(manifest).expect("signed"));
        format!("SHA256(palisade.mf)= {signature}\n{pem}").into_bytes()
    };
    let mut parts = Parts::new();
    let certificate = sign(&parts.member("palisade.mf").clone());
    parts.members.insert(2, ("palisade.cert".to_owned(), certificate));
    let verified = verify(&parts.write()).expect("whole and signed");
    assert!(verified.signer.is_some());
    *parts.member("palisade.cert") = sign(b"another manifest");
    assert!(parts.wrong().contains("its signature is not one of palisade.mf"));
    *parts.member("palisade.cert") = b"nonsense".to_vec();
    assert!(parts.wrong().contains("its first line is not the signature"));
}

#[test]
fn broken_descriptors_are_refused_with_what_is_wrong() {
    let whole = String::from_utf8(Parts::new().member("palisade.ovf").clone()).expect("text");
    inspect::inspect(&whole).expect("whole");
    let elements = "        <rasd:InstanceID>3</rasd:InstanceID>\n";
    for (from, to, said) in [
        (elements, "", "hangs on item 3, which is missing"),
        ("<rasd:Address>0</rasd:Address>\n", "<rasd:Zone>0</rasd:Zone>\n", "alphabetical order"),
        ("ovf:fileRef=\"file1\"", "ovf:fileRef=\"file2\"", "a file that is not named"),
        ("#streamOptimized", "#sparse", "not stream-optimised"),
        ("AllocationUnits=\"byte\"", "AllocationUnits=\"GB\"", "no capacity in bytes"),
        ("VirtualSCSI", "lsilogic", "no driver for item 3 (lsilogic)"),
        ("VmxNet3", "E1000", "no driver for item 7 (E1000)"),
        ("<rasd:Connection>Cluster<", "<rasd:Connection>Other<", "which is missing"),
        ("<Item ovf:configuration=\"ha\"", "<Item ovf:configuration=\"hb\"", "is no option"),
        (
            "ovf:required=\"false\" vmw:key=\"firmware\"",
            "vmw:key=\"firmware\"",
            "must not be required",
        ),
        ("vmw:value=\"efi\"", "vmw:value=\"bios\"", "the firmware is not EFI"),
        ("com.vmware.guestInfo iso", "iso", "the transport"),
        ("ovf:key=\"dns\"", "ovf:key=\"dnss\"", "dnss is not known"),
        ("ovf:key=\"dns\"", "ovf:key=\"ntp\"", "ntp is there twice"),
        (" ovf:default=\"true\"", "", "one default deployment option"),
        ("<References>", "<NetworkSection/><References>", "its parts are"),
        ("</Envelope>", "", "it ends too early"),
        ("envelope/1\"", "envelope/2\"", "no OVF envelope"),
        ("?>", "?><!DOCTYPE x>", "document type"),
    ] {
        let broken = whole.replace(from, to);
        assert_ne!(broken, whole, "{from} is not in it");
        let wrong = inspect::inspect(&broken).expect_err(said).join("\n");
        assert!(wrong.contains(said), "{said} is not in:\n{wrong}");
    }
}
