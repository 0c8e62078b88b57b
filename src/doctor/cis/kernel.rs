//! Settings of the kernel and the modules that it must not load.

use super::{Check, IMAGE, Look, RESTART};

macro_rules! settings {
    ($($number:literal $level:literal $title:literal $reason:literal [$(($key:literal, $values:expr)),+ $(,)?];)*) => {
        &[$(Check {
            number: $number,
            title: $title,
            reason: $reason,
            fix: RESTART,
            level: $level,
            look: Look::Sysctl(&[$(($key, &$values)),+]),
        },)* MODULES[0], MODULES[1], MODULES[2]]
    };
}

const MODULES: [Check; 3] = [
    Check {
        number: "3.18",
        title: "Rare file systems cannot be mounted",
        reason: "Their code is old, and a prepared disk or image would meet it.",
        fix: IMAGE,
        level: 1,
        look: Look::NoModules(&[
            "cramfs", "freevxfs", "hfs", "hfsplus", "jffs2", "udf", "squashfs", "afs", "ceph",
            "cifs", "gfs2", "nfs", "nfsd",
        ]),
    },
    Check {
        number: "3.19",
        title: "Rare network protocols cannot be spoken",
        reason: "Any user could have the kernel load their code, which few look at.",
        fix: IMAGE,
        level: 1,
        look: Look::NoModules(&[
            "dccp",
            "sctp",
            "rds",
            "tipc",
            "appletalk",
            "ax25",
            "x25",
            "can",
            "atm",
            "n_hdlc",
        ]),
    },
    Check {
        number: "3.20",
        title: "Devices that are plugged in cannot reach memory or files",
        reason: "Removable disks carry data out; FireWire and Thunderbolt read memory.",
        fix: IMAGE,
        level: 1,
        look: Look::NoModules(&[
            "usb-storage",
            "firewire-core",
            "firewire-ohci",
            "firewire-sbp2",
            "thunderbolt",
            "bluetooth",
        ]),
    },
];

pub(super) const CHECKS: &[Check] = settings! {
    "3.1" 1 "Addresses in memory are random"
        "Attacks need to know where things are."
        [("kernel.randomize_va_space", ["2"])];
    "3.2" 1 "The kernel tells nobody its addresses"
        "They would undo the random layout."
        [("kernel.kptr_restrict", ["2", "1"]), ("kernel.dmesg_restrict", ["1"])];
    "3.3" 1 "Processes cannot be watched by their neighbours"
        "A debugger reads keys and passwords from another process of the same user."
        [("kernel.yama.ptrace_scope", ["1", "2", "3"])];
    "3.4" 1 "Users cannot load programs into the kernel"
        "The verifier of such programs has had many holes."
        [("kernel.unprivileged_bpf_disabled", ["1", "2"]), ("net.core.bpf_jit_harden", ["2"])];
    "3.5" 1 "The keyboard cannot command the kernel"
        "Whoever reaches the console could restart or crash the machine."
        [("kernel.sysrq", ["0"]), ("kernel.ctrl-alt-del", ["0"])];
    "3.6" 1 "Another kernel cannot be started from this one"
        "It would run without lockdown and without verification."
        [("kernel.kexec_load_disabled", ["1"])];
    "3.7" 1 "Users cannot measure the kernel"
        "Counters show what other processes do."
        [("kernel.perf_event_paranoid", ["2", "3", "4"])];
    "3.8" 1 "No memory of a crashed process is written down"
        "It would hold keys and sessions."
        [("kernel.core_pattern", ["|/bin/false", "|/usr/bin/false"]), ("fs.suid_dumpable", ["0"])];
    "3.9" 1 "Crashes are told apart"
        "If cores are ever switched on they must not overwrite each other."
        [("kernel.core_uses_pid", ["1"])];
    "3.10" 2 "The kernel stops when it has lost its way"
        "After a fault in the kernel nothing it says can be believed."
        [("kernel.panic_on_oops", ["1"])];
    "3.11" 2 "Users cannot make worlds of their own"
        "User namespaces give any user a root's view of much kernel code."
        [("kernel.unprivileged_userns_clone", ["0"])];
    "3.12" 2 "Nobody uses rings for input and output"
        "None of our services needs io_uring, and its holes were many."
        [("kernel.io_uring_disabled", ["2"])];
    "3.13" 1 "Users cannot stop the kernel in the middle of a copy"
        "Attackers use page faults of their own making to win races."
        [("vm.unprivileged_userfaultfd", ["0"])];
    "3.14" 1 "Nothing lives at address zero"
        "A null pointer of the kernel must not find an attacker's data."
        [("vm.mmap_min_addr", ["65536"])];
    "3.15" 1 "Links in shared directories cannot mislead"
        "A link in /tmp could make a service write elsewhere."
        [("fs.protected_hardlinks", ["1"]), ("fs.protected_symlinks", ["1"])];
    "3.16" 1 "Files of others in shared directories are not opened by mistake"
        "A file or pipe that an attacker made first would be written to."
        [("fs.protected_fifos", ["2"]), ("fs.protected_regular", ["2"])];
    "3.17" 1 "Users cannot load drivers of terminals"
        "Several of them were ways to become root."
        [("dev.tty.ldisc_autoload", ["0"])];
};
