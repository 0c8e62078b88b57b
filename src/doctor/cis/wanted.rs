//! What the checks want to know of the machine: files, directories, programs.

pub(in crate::doctor) use super::looks::{MODULES, sysctl_file};
use super::{looks, own, services};

/// Files whose text is looked at.
pub(in crate::doctor) const FILES: &[&str] = &[
    looks::MOUNTS,
    looks::ARGUMENTS,
    "/proc/modules",
    "/proc/swaps",
    "/sys/kernel/security/lockdown",
    "/sys/kernel/security/apparmor/profiles",
    "/sys/module/apparmor/parameters/enabled",
    "/sys/firmware/efi/fw_platform_size",
    super::boot::SECURE_BOOT,
    super::boot::SETUP_MODE,
    "/proc/sys/kernel/panic",
    "/sys/block/dm-0/dev",
    "/sys/block/dm-0/dm/uuid",
    "/sys/block/dm-1/dev",
    "/sys/block/dm-1/dm/uuid",
    "/sys/block/dm-2/dev",
    "/sys/block/dm-2/dm/uuid",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/login.defs",
    "/etc/profile",
    "/etc/issue",
    "/etc/issue.net",
    "/etc/motd",
    "/etc/audit/auditd.conf",
    "/boot/loader/loader.conf",
    "/efi/loader/loader.conf",
    "/boot/efi/loader/loader.conf",
    "/usr/lib/palisade/accounts",
];

/// Directories of which every text is looked at.
pub(in crate::doctor) const TEXTS_BELOW: &[&str] = &[
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/lib/modprobe.d",
    "/usr/lib/systemd/journald.conf.d",
    "/etc/systemd/journald.conf.d",
    "/usr/lib/systemd/coredump.conf.d",
    "/etc/systemd/coredump.conf.d",
    "/usr/lib/systemd/resolved.conf.d",
    "/etc/systemd/resolved.conf.d",
    "/run/systemd/resolved.conf.d",
    "/etc/security/limits.d",
    "/etc/systemd/system/emergency.service.d",
    "/usr/lib/systemd/system/emergency.service.d",
    "/etc/systemd/system/rescue.service.d",
    "/usr/lib/systemd/system/rescue.service.d",
];

/// Directories of which the names are looked at.
pub(in crate::doctor) const LISTS: &[&str] =
    &["/sys/class/net", "/sys/class/ieee80211", "/sys/class/bluetooth", "/var/log/journal"];

/// Files and directories whose owner and mode are looked at besides those of
/// the tables.
pub(in crate::doctor) const ENTRIES: &[&str] =
    &["/home/*", "/root", "/boot", "/efi", "/var/log/*", "/usr/lib/palisade/update-keys/*"];

/// The list of [`UNWANTED_PROGRAMS`] that are there.
pub(in crate::doctor) const PROGRAMS: &str = "programs that an intruder would like";

/// Compilers, debuggers, sniffers, package managers, clear-text clients.
pub(in crate::doctor) const UNWANTED_PROGRAMS: &[&str] = &[
    "gcc", "cc", "g++", "clang", "as", "ld", "make", "gdb", "strace", "tcpdump", "apt", "apt-get",
    "dpkg", "ftp", "telnet", "nc", "ncat", "rsh", "rlogin", "talk", "wget",
];

/// The command lines of the programs that are asked.
pub(in crate::doctor) fn commands() -> Vec<String> {
    let fixed = [
        services::ENABLED,
        services::FAILED,
        services::STATES,
        services::SSHD,
        services::TIME,
        super::network::RULES,
        super::logging::AUDIT_STATE,
        super::logging::AUDIT_RULES,
    ];
    fixed.iter().map(|command| (*command).to_owned()).chain([own::exposures()]).collect()
}
