//! For each check, facts that break it: one change of a machine as it should be.

use super::good::{NOW, listener};
use crate::doctor::{
    cis::{boot, logging, looks, network, own, services, wanted},
    facts::{Entry, Facts},
    sockets::Protocol,
};

/// A check, those that fail with it, and the change.
pub(super) type Mutant = (&'static str, &'static [&'static str], fn(&mut Facts));

fn replace(facts: &mut Facts, path: &str, from: &str, to: &str) {
    let text = facts.files.get_mut(path).expect("a file").as_mut().expect("read");
    let text = text.as_mut().expect("there");
    assert!(text.contains(from), "{path} has no {from:?}");
    *text = text.replace(from, to);
}

fn put(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.to_owned(), Ok(Some(text.to_owned())));
}

fn said(facts: &mut Facts, command: &str, from: &str, to: &str) {
    let text = facts.programs.get_mut(command).expect("asked").as_mut().expect("answered");
    let text = text.as_mut().expect("there");
    assert!(text.contains(from), "`{command}` says no {from:?}");
    *text = text.replace(from, to);
}

/// Another rule in a chain of the firewall.
fn rule(facts: &mut Facts, chain: &str, parts: &str) {
    let head = format!(r#"{{"family":"inet","table":"palisade","chain":"{chain}""#);
    let rule = format!(r#",{{"rule":{head},"expr":[{parts}]}}}}{}"#, "\n]}");
    said(facts, network::RULES, "\n]}", &rule);
}

fn list(facts: &mut Facts, path: &str, names: &[&str]) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    facts.lists.insert(path.to_owned(), Ok(Some(names)));
}

fn sysctl(facts: &mut Facts, key: &str, value: &str) {
    put(facts, &looks::sysctl_file(key), value);
}

fn entry(facts: &mut Facts, path: &str, uid: u32, mode: u32) {
    facts.entries.insert(path.to_owned(), Ok(Some(Entry { uid, gid: 0, mode })));
}

fn walked(facts: &mut Facts) -> &mut crate::doctor::facts::Walk {
    facts.walk.as_mut().expect("walked")
}

fn listens(facts: &mut Facts, protocol: Protocol, address: &str) {
    let listeners = facts.listeners.as_mut().expect("seen");
    listeners.push(listener(protocol, address));
}

fn port(facts: &mut Facts) -> &mut crate::doctor::facts::Port {
    facts.port.as_mut().expect("seen")
}

fn process(facts: &mut Facts, command: &str, from: &str, to: &str) {
    let processes = facts.processes.as_mut().expect("seen");
    let process = processes.iter_mut().find(|process| process.command == command).expect("it runs");
    process.status = process.status.replace(from, to);
}

fn profile(facts: &mut Facts, command: &str, profile: &str) {
    let processes = facts.processes.as_mut().expect("seen");
    let process = processes.iter_mut().find(|process| process.command == command).expect("it runs");
    profile.clone_into(&mut process.profile);
}

fn exposed(facts: &mut Facts, unit: &str, level: &str) {
    said(facts, &own::exposures(), &format!("{unit}: 1.8 OK"), &format!("{unit}: {level}"));
}

const NODE: &str = "/var/lib/palisade-node";

pub(super) const MUTANTS: &[Mutant] = &[
    ("1.1", &[], |f| {
        replace(
            f,
            looks::MOUNTS,
            "ro,relatime shared:1 - erofs /dev/mapper/root ro",
            "rw,relatime shared:1 - ext4 /dev/mapper/root rw",
        );
    }),
    ("1.1", &[], |f| replace(f, "/sys/block/dm-0/dm/uuid", "CRYPT-VERITY", "LVM")),
    ("1.1", &[], |f| replace(f, looks::ARGUMENTS, "roothash=", "x=")),
    ("1.2", &["1.5", "1.6"], |f| {
        replace(f, looks::MOUNTS, "/var rw,nosuid,nodev,noexec", "/var rw,nosuid,nodev");
    }),
    ("1.3", &[], |f| {
        replace(f, looks::MOUNTS, "/tmp rw,nosuid,nodev,noexec", "/tmp rw,nosuid,noexec");
    }),
    ("1.4", &[], |f| {
        replace(f, looks::MOUNTS, "/dev/shm rw,nosuid,nodev,noexec", "/dev/shm rw,nosuid,nodev");
    }),
    ("1.5", &[], |f| {
        replace(
            f,
            looks::MOUNTS,
            "24 22",
            "29 23 0:30 / /var/tmp rw shared:9 - tmpfs tmpfs rw\n24 22",
        );
    }),
    ("1.6", &[], |f| {
        replace(
            f,
            looks::MOUNTS,
            "24 22",
            "29 23 0:30 / /var/log rw shared:9 - ext4 /dev/sdb rw\n24 22",
        );
    }),
    ("1.7", &[], |f| replace(f, looks::MOUNTS, "/run rw,nosuid,nodev", "/run rw,nodev")),
    ("1.8", &[], |f| replace(f, looks::MOUNTS, "/dev rw,nosuid,noexec", "/dev rw,nosuid")),
    ("1.9", &[], |f| walked(f).world_writable.push("/var/x".into())),
    ("1.10", &[], |f| walked(f).unowned.push("/var/x".into())),
    ("1.11", &[], |f| walked(f).setuid.push("/usr/bin/su".into())),
    ("1.12", &[], |f| walked(f).capable.push("/usr/bin/ping".into())),
    ("1.13", &[], |f| put(f, "/proc/swaps", "Filename Type\n/dev/sda9 partition 1 0 -2\n")),
    ("2.1", &[], |f| {
        f.files.insert("/sys/firmware/efi/fw_platform_size".into(), Ok(None));
    }),
    ("2.2", &[], |f| put(f, "/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")),
    ("2.3", &[], |f| replace(f, looks::ARGUMENTS, "init_on_alloc=1", "init_on_alloc=0")),
    ("2.4", &[], |f| replace(f, looks::ARGUMENTS, "slab_nomerge", "")),
    ("2.5", &[], |f| replace(f, looks::ARGUMENTS, " audit=1", " audit=1 audit=0")),
    ("2.6", &[], |f| {
        replace(f, looks::ARGUMENTS, "audit_backlog_limit=8192", "audit_backlog_limit=64");
    }),
    ("2.7", &[], |f| replace(f, looks::ARGUMENTS, "vsyscall=none", "vsyscall=xonly")),
    ("2.8", &[], |f| replace(f, looks::ARGUMENTS, "randomize_kstack_offset=on", "")),
    ("2.9", &[], |f| replace(f, looks::ARGUMENTS, "page_alloc.shuffle=1", "")),
    ("2.10", &[], |f| replace(f, looks::ARGUMENTS, "debugfs=off", "")),
    ("2.11", &[], |f| put(f, "/proc/sys/kernel/panic", "0\n")),
    ("2.12", &[], |f| replace(f, "/efi/loader/loader.conf", "editor no", "editor yes")),
    ("2.14", &[], |f| {
        said(
            f,
            services::STATES,
            "Id=debug-shell.service\nLoadState=masked",
            "Id=debug-shell.service\nLoadState=loaded",
        );
    }),
    ("2.14", &[], |f| {
        list(f, "/etc/systemd/system/rescue.service.d", &["x.conf"]);
        put(
            f,
            "/etc/systemd/system/rescue.service.d/x.conf",
            "[Service]\nEnvironment=SYSTEMD_SULOGIN_FORCE=1\n",
        );
    }),
    ("2.15", &[], |f| entry(f, "/efi", 0, 0o755)),
    ("2.15", &[], |f| {
        replace(f, looks::MOUNTS, "/efi rw,nosuid,nodev,noexec", "/efi rw,nosuid,nodev");
    }),
    ("3.1", &[], |f| sysctl(f, "kernel.randomize_va_space", "1")),
    ("3.2", &[], |f| sysctl(f, "kernel.dmesg_restrict", "0")),
    ("3.3", &[], |f| sysctl(f, "kernel.yama.ptrace_scope", "0")),
    ("3.4", &[], |f| sysctl(f, "net.core.bpf_jit_harden", "0")),
    ("3.5", &[], |f| sysctl(f, "kernel.sysrq", "438")),
    ("3.6", &[], |f| sysctl(f, "kernel.kexec_load_disabled", "0")),
    ("3.7", &[], |f| sysctl(f, "kernel.perf_event_paranoid", "1")),
    ("3.8", &[], |f| sysctl(f, "kernel.core_pattern", "core")),
    ("3.9", &[], |f| sysctl(f, "kernel.core_uses_pid", "0")),
    ("3.10", &[], |f| sysctl(f, "kernel.panic_on_oops", "0")),
    ("3.11", &[], |f| sysctl(f, "kernel.unprivileged_userns_clone", "1")),
    ("3.12", &[], |f| sysctl(f, "kernel.io_uring_disabled", "0")),
    ("3.13", &[], |f| sysctl(f, "vm.unprivileged_userfaultfd", "1")),
    ("3.14", &[], |f| sysctl(f, "vm.mmap_min_addr", "0")),
    ("3.15", &[], |f| sysctl(f, "fs.protected_symlinks", "0")),
    ("3.16", &[], |f| sysctl(f, "fs.protected_fifos", "1")),
    ("3.17", &[], |f| sysctl(f, "dev.tty.ldisc_autoload", "1")),
    ("3.18", &[], |f| put(f, "/proc/modules", "udf 1 0 - Live 0x0\n")),
    ("3.19", &[], |f| list(f, looks::MODULES, &["tipc"])),
    ("3.20", &[], |f| {
        replace(
            f,
            "/usr/lib/modprobe.d/palisade.conf",
            "install usb-storage",
            "blacklist usb-storage",
        );
    }),
    ("4.1", &[], |f| sysctl(f, "net.ipv4.ip_forward", "1")),
    ("4.2", &[], |f| sysctl(f, "net.ipv4.conf.default.send_redirects", "1")),
    ("4.3", &[], |f| sysctl(f, "net.ipv4.conf.all.secure_redirects", "1")),
    ("4.4", &[], |f| sysctl(f, "net.ipv6.conf.all.accept_redirects", "1")),
    ("4.5", &[], |f| sysctl(f, "net.ipv6.conf.default.accept_source_route", "1")),
    ("4.6", &[], |f| sysctl(f, "net.ipv4.conf.all.rp_filter", "0")),
    ("4.7", &[], |f| sysctl(f, "net.ipv4.conf.all.log_martians", "0")),
    ("4.8", &[], |f| sysctl(f, "net.ipv4.icmp_echo_ignore_broadcasts", "0")),
    ("4.9", &[], |f| sysctl(f, "net.ipv4.tcp_syncookies", "0")),
    ("4.10", &[], |f| sysctl(f, "net.ipv6.conf.all.accept_ra", "1")),
    ("4.11", &[], |f| {
        said(
            f,
            network::RULES,
            r#""hook":"forward","policy":"drop""#,
            r#""hook":"forward","policy":"accept""#,
        );
    }),
    ("4.12", &[], |f| said(f, network::RULES, "[443,22]", "[443,22,8080]")),
    ("4.12", &[], |f| said(f, network::RULES, r#""right":546"#, r#""right":{"range":[500,600]}"#)),
    ("4.12", &[], |f| said(f, network::RULES, r#""right":546"#, r#""right":5353"#)),
    // A rule without a port opens all of them.
    ("4.12", &["4.13"], |f| rule(f, "more", r#"{"accept":null}"#)),
    ("4.12", &["4.13"], |f| rule(f, "input", r#"{"counter":{"packets":1}},{"accept":null}"#)),
    ("4.12", &[], |f| {
        rule(
            f,
            "input",
            r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth0"}},{"accept":null}"#,
        );
    }),
    // New connections are no answers.
    ("4.12", &["4.13"], |f| {
        said(
            f,
            network::RULES,
            r#"["invalid",{"drop""#,
            r#"["new",{"accept":null}],["invalid",{"drop""#,
        );
    }),
    ("4.12", &["4.13"], |f| {
        rule(
            f,
            "more",
            r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","new"]}},{"accept":null}"#,
        );
    }),
    ("4.12", &["4.13"], |f| {
        rule(
            f,
            "more",
            r#"{"match":{"op":"!=","left":{"meta":{"key":"iif"}},"right":"lo"}},{"accept":null}"#,
        );
    }),
    // The condition of a jump counts for the rules behind it.
    ("4.12", &[], |f| {
        rule(
            f,
            "input",
            r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":8443}},{"jump":{"target":"all"}}"#,
        );
        rule(f, "all", r#"{"accept":null}"#);
    }),
    ("4.12", &[], |f| {
        rule(
            f,
            "input",
            r#"{"vmap":{"key":{"payload":{"protocol":"tcp","field":"dport"}},"data":{"set":[[443,{"accept":null}],[8443,{"accept":null}]]}}}"#,
        );
    }),
    ("4.13", &[], |f| said(f, network::RULES, "[443,22]", "[443,5432]")),
    ("4.13", &[], |f| said(f, network::RULES, "[443,22]", "[443,7444]")),
    // Anybody could take the virtual address.
    ("4.12", &["4.13"], |f| {
        rule(
            f,
            "more",
            r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"protocol"}},"right":"vrrp"}},{"accept":null}"#,
        );
    }),
    ("4.14", &[], |f| listens(f, Protocol::Tcp, "0.0.0.0:8080")),
    ("4.14", &[], |f| listens(f, Protocol::Udp, "[::]:123")),
    ("4.15", &[], |f| {
        replace(f, "/etc/systemd/resolved.conf.d/palisade.conf", "LLMNR=no", "LLMNR=yes");
    }),
    ("4.15", &["4.14"], |f| listens(f, Protocol::Udp, "0.0.0.0:5355")),
    ("4.16", &[], |f| list(f, "/sys/class/ieee80211", &["phy0"])),
    ("4.17", &[], |f| put(f, "/sys/class/net/eth0/flags", "0x1103\n")),
    ("5.1", &[], |f| {
        said(f, services::ENABLED, "nftables", "cron.service enabled enabled\nnftables");
    }),
    ("5.1", &[], |f| said(f, services::ENABLED, "palisade.service enabled enabled\n", "")),
    ("5.2", &[], |f| {
        f.programs
            .insert(services::FAILED.into(), Ok(Some("x.service loaded failed failed X\n".into())));
    }),
    ("5.3", &[], |f| {
        said(
            f,
            services::STATES,
            "Id=getty@tty1.service\nLoadState=masked\nActiveState=inactive",
            "Id=getty@tty1.service\nLoadState=loaded\nActiveState=active",
        );
    }),
    ("5.4", &[], |f| {
        said(f, services::SSHD, "permitrootlogin no", "permitrootlogin prohibit-password");
    }),
    ("5.5", &[], |f| said(f, services::SSHD, "allowtcpforwarding no", "allowtcpforwarding yes")),
    ("5.6", &[], |f| said(f, services::SSHD, "logingracetime 30", "logingracetime 0")),
    ("5.7", &[], |f| said(f, services::SSHD, "banner /etc/issue.net", "banner none")),
    ("5.8", &[], |f| {
        said(
            f,
            services::SSHD,
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-256-etm@openssh.com,hmac-sha1",
        );
    }),
    ("5.9", &[], |f| said(f, services::TIME, "NTPSynchronized=yes", "NTPSynchronized=no")),
    ("5.9", &[], |f| {
        said(
            f,
            services::STATES,
            "Id=chrony.service\nLoadState=not-found\nActiveState=inactive",
            "Id=chrony.service\nLoadState=loaded\nActiveState=active",
        );
    }),
    ("5.10", &[], |f| {
        replace(
            f,
            "/usr/lib/systemd/coredump.conf.d/palisade.conf",
            "Storage=none",
            "Storage=external",
        );
    }),
    ("5.10", &[], |f| {
        replace(f, "/etc/security/limits.d/palisade.conf", "* hard core 0", "* soft core 0");
    }),
    ("5.11", &[], |f| list(f, wanted::PROGRAMS, &["gcc"])),
    ("5.12", &[], |f| {
        said(
            f,
            services::STATES,
            "Id=nftables.service\nLoadState=loaded\nActiveState=active",
            "Id=nftables.service\nLoadState=loaded\nActiveState=failed",
        );
    }),
    ("6.1", &["6.3"], |f| replace(f, "/etc/shadow", "admin:!:", "admin::")),
    ("6.1", &[], |f| replace(f, "/etc/passwd", "admin:x:", "admin::")),
    ("6.2", &["6.3"], |f| replace(f, "/etc/shadow", "root:!:", "root:set:")),
    ("6.3", &[], |f| replace(f, "/etc/shadow", "admin:!:", "admin:set:")),
    ("6.4", &["6.5"], |f| {
        replace(
            f,
            "/etc/passwd",
            "admin:x:1000",
            "toor:x:0:0::/root:/usr/sbin/nologin
admin:x:1000",
        );
    }),
    ("6.5", &[], |f| replace(f, "/etc/group", "shadow:x:42:\n", "shadow:x:42:\nother:x:42:\n")),
    ("6.6", &["7.5", "7.6"], |f| replace(f, "/etc/passwd", "palisade:x:900:", "palisade:x:901:")),
    ("6.6", &[], |f| replace(f, "/usr/lib/palisade/accounts", "u palisade 900", "u missing 77")),
    ("6.7", &[], |f| {
        replace(
            f,
            "/etc/passwd",
            "/var/lib/palisade:/usr/sbin/nologin",
            "/var/lib/palisade:/bin/sh",
        );
    }),
    ("6.8", &[], |f| replace(f, "/etc/group", "shadow:x:42:", "shadow:x:42:admin")),
    ("6.9", &[], |f| entry(f, "/home/admin", 1000, 0o755)),
    ("6.9", &[], |f| entry(f, "/root", 0, 0o750)),
    ("6.10", &[], |f| replace(f, "/etc/login.defs", "PASS_MAX_DAYS\t365", "PASS_MAX_DAYS\t99999")),
    ("6.11", &[], |f| replace(f, "/etc/login.defs", "\nUMASK 027", "\nUMASK 022")),
    // The last of two counts.
    ("6.11", &[], |f| replace(f, "/etc/login.defs", "YESCRYPT\n", "YESCRYPT\nUMASK 022\n")),
    ("6.11", &[], |f| replace(f, "/etc/profile", "TMOUT=600", "TMOUT=0")),
    ("7.1", &[], |f| entry(f, "/etc/passwd", 0, 0o666)),
    ("7.2", &[], |f| entry(f, "/etc/shadow", 0, 0o644)),
    ("7.3", &[], |f| entry(f, "/etc/ssh/sshd_config.d/10-palisade.conf", 0, 0o644)),
    ("7.4", &[], |f| entry(f, NODE, 0, 0o755)),
    ("7.5", &[], |f| entry(f, "/var/lib/palisade", 0, 0o700)),
    ("7.6", &[], |f| entry(f, "/var/lib/palisade/keys/keystore", 900, 0o640)),
    ("7.7", &[], |f| entry(f, "/run/palisade-node/node.sock", 0, 0o666)),
    ("7.8", &[], |f| entry(f, "/usr/bin/palisade", 0, 0o775)),
    ("7.9", &[], |f| entry(f, "/usr/lib/palisade/update-keys/2026.pub", 900, 0o644)),
    ("7.9", &[], |f| {
        f.entries.remove("/usr/lib/palisade/update-keys/2026.pub");
    }),
    ("7.10", &[], |f| entry(f, "/var/log/audit", 0, 0o755)),
    ("7.11", &[], |f| entry(f, "/var/log/messages", 0, 0o644)),
    ("7.12", &[], |f| put(f, "/etc/issue", "Debian GNU/Linux 13 \\n \\l\n")),
    ("8.1", &[], |f| {
        replace(
            f,
            "/usr/lib/systemd/journald.conf.d/palisade.conf",
            "Storage=persistent",
            "Storage=auto",
        );
    }),
    ("8.1", &[], |f| list(f, "/var/log/journal", &[])),
    ("8.2", &[], |f| {
        replace(
            f,
            "/usr/lib/systemd/journald.conf.d/palisade.conf",
            "SystemMaxUse",
            "#SystemMaxUse",
        );
    }),
    ("8.3", &[], |f| {
        said(
            f,
            services::STATES,
            "Id=auditd.service\nLoadState=loaded\nActiveState=active",
            "Id=auditd.service\nLoadState=loaded\nActiveState=inactive",
        );
    }),
    ("8.4", &[], |f| said(f, logging::AUDIT_STATE, "enabled 2", "enabled 1")),
    ("8.5", &[], |f| said(f, logging::AUDIT_RULES, "-k time-change", "-k x")),
    ("8.6", &[], |f| said(f, logging::AUDIT_RULES, "-k identity", "-k x")),
    ("8.7", &[], |f| said(f, logging::AUDIT_RULES, "-k network", "-k x")),
    ("8.8", &[], |f| said(f, logging::AUDIT_RULES, "-k mac-policy", "-k x")),
    ("8.9", &[], |f| said(f, logging::AUDIT_RULES, "-k session", "-k x")),
    ("8.10", &[], |f| said(f, logging::AUDIT_RULES, "-k access", "-k x")),
    ("8.11", &[], |f| said(f, logging::AUDIT_RULES, "-k delete", "-k x")),
    ("8.12", &[], |f| said(f, logging::AUDIT_RULES, "-k modules", "-k x")),
    ("8.13", &[], |f| said(f, logging::AUDIT_RULES, "-k exec-root", "-k x")),
    ("8.14", &[], |f| said(f, logging::AUDIT_RULES, "-k palisade", "-k x")),
    ("8.15", &[], |f| replace(f, "/etc/audit/auditd.conf", "ROTATE", "KEEP_LOGS")),
    ("8.16", &[], |f| {
        replace(
            f,
            "/sys/kernel/security/apparmor/profiles",
            "palisade (enforce)",
            "palisade (enforce)\nother (complain)",
        );
    }),
    ("8.16", &[], |f| put(f, "/sys/module/apparmor/parameters/enabled", "N\n")),
    ("8.17", &[], |f| profile(f, "nats-server", "unconfined")),
    ("8.17", &[], |f| profile(f, "palisade serve", "palisade-serve (complain)")),
    ("9.1", &[], |f| exposed(f, own::UNITS[0], "2.1 OK")),
    ("9.2", &[], |f| exposed(f, own::UNITS[1], "9.6 UNSAFE")),
    ("9.3", &[], |f| exposed(f, own::UNITS[2], "2.5 OK")),
    ("9.4", &[], |f| exposed(f, own::UNITS[3], "2.5 OK")),
    ("9.5", &[], |f| exposed(f, own::UNITS[4], "10.0 X")),
    ("9.6", &[], |f| process(f, "palisade serve", "Uid:\t900", "Uid:\t0")),
    ("9.6", &[], |f| process(f, "nats-server", "Seccomp:\t2", "Seccomp:\t0")),
    ("9.7", &[], |f| port(f).weak.push("TLS 1.0")),
    ("9.8", &[], |f| port(f).certificate.as_mut().expect("there").not_after = NOW),
    ("9.8", &[], |f| port(f).certificate.as_mut().expect("there").names.clear()),
    ("9.9", &[], |f| {
        f.settings.as_mut().expect("seen").seal_apart = false;
    }),
    ("9.10", &[], |f| exposed(f, own::UNITS[5], "2.1 OK")),
    ("9.11", &[], |f| exposed(f, own::UNITS[6], "9.2 UNSAFE")),
    ("2.13", &[], |f| {
        put(f, boot::SECURE_BOOT, "\u{6}\0\0\0\0");
        put(f, boot::SETUP_MODE, "\u{6}\0\0\0\0");
    }),
];
