//! Facts of a machine as it should be, with SSH on.

use std::{fmt::Write as _, net::SocketAddr};

use crate::{
    certificates::CertificateInfo,
    clock::Timestamp,
    doctor::{
        cis::{Look, boot, checks, logging, looks, network, own, services, wanted},
        facts::{Entry, Facts, Port, Process, Settings, Walk},
        sockets::{Listener, Protocol},
    },
};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_325_306);

const MOUNTS: &str = "\
22 1 254:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro
23 22 8:4 / /var rw,nosuid,nodev,noexec,relatime shared:2 - ext4 /dev/sda6 rw,errors=remount-ro
24 22 0:20 / /run rw,nosuid,nodev shared:3 - tmpfs tmpfs rw,mode=755
25 22 0:21 / /tmp rw,nosuid,nodev,noexec shared:4 - tmpfs tmpfs rw
26 22 0:5 / /dev rw,nosuid,noexec shared:5 - devtmpfs devtmpfs rw,mode=755
27 26 0:22 / /dev/shm rw,nosuid,nodev,noexec shared:6 - tmpfs tmpfs rw
28 22 8:1 / /efi rw,nosuid,nodev,noexec shared:7 - vfat /dev/sda1 rw,fmask=0077,dmask=0077
";

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
palisade:x:900:900::/var/lib/palisade:/usr/sbin/nologin
palisade-console:x:902:902::/:/usr/sbin/nologin
admin:x:1000:1000::/home/admin:/bin/bash
";

const GROUP: &str = "root:x:0:\nshadow:x:42:\npalisade:x:900:\npalisade-console:x:902:\n\
    palisade-node:x:903:palisade-console\nadmin:x:1000:\n";

/// As the image's own rules are told, with SSH and a cluster of nodes.
const RULES: &str = r#"{"nftables":[
{"metainfo":{"version":"1.1.3","json_schema_version":1}},
{"table":{"family":"inet","name":"palisade","handle":1}},
{"chain":{"family":"inet","table":"palisade","name":"input","type":"filter","hook":"input","policy":"drop"}},
{"chain":{"family":"inet","table":"palisade","name":"more"}},
{"chain":{"family":"inet","table":"palisade","name":"forward","type":"filter","hook":"forward","policy":"drop"}},
{"chain":{"family":"inet","table":"palisade","name":"output","type":"filter","hook":"output","policy":"accept"}},
{"set":{"family":"inet","table":"palisade","name":"published","elem":[443,22]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["established",{"accept":null}],["related",{"accept":null}],["invalid",{"drop":null}]]}}}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"match":{"op":"==","left":{"meta":{"key":"iif"}},"right":"lo"}},{"accept":null}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"match":{"op":"!=","left":{"meta":{"key":"iif"}},"right":"lo"}},{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"127.0.0.0","len":8}}}},{"drop":null}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":{"set":["destination-unreachable","echo-request"]}}},{"limit":{"rate":50,"burst":5,"per":"second"}},{"accept":null}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":"@published"}},{"accept":null}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":546}},{"accept":null}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"jump":{"target":"more"}}]}},
{"rule":{"family":"inet","chain":"input","table":"palisade","expr":[{"limit":{"rate":6,"burst":5,"per":"minute"}},{"log":{"prefix":"refused: ","level":"info"}}]}},
{"rule":{"family":"inet","chain":"more","table":"palisade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"10.9.0.0/24"}},{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":{"set":[2379,2380,5432,6222,7444,8008]}}},{"accept":null}]}},
{"rule":{"family":"inet","chain":"more","table":"palisade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"set":["10.9.0.12","10.9.0.13"]}}},{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"10.9.0.11"}},{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"protocol"}},"right":"vrrp"}},{"accept":null}]}},
{"rule":{"family":"inet","chain":"output","table":"palisade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":8080}},{"accept":null}]}}
]}"#;

const SSHD: &str = "\
permitrootlogin no
passwordauthentication no
kbdinteractiveauthentication no
hostbasedauthentication no
permitemptypasswords no
pubkeyauthentication yes
x11forwarding no
allowtcpforwarding no
allowagentforwarding no
allowstreamlocalforwarding no
gatewayports no
permittunnel no
permituserenvironment no
maxauthtries 3
maxsessions 2
logingracetime 30
clientaliveinterval 300
clientalivecountmax 2
tcpkeepalive no
compression no
allowusers admin
banner /etc/issue.net
loglevel VERBOSE
strictmodes yes
ignorerhosts yes
usedns no
ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com
macs hmac-sha2-256-etm@openssh.com
kexalgorithms sntrup761x25519-sha512,curve25519-sha256
";

const AUDIT_KEYS: &[&str] = &[
    "time-change",
    "identity",
    "network",
    "mac-policy",
    "logins",
    "session",
    "access",
    "perm-mod",
    "mounts",
    "delete",
    "modules",
    "exec-root",
    "palisade",
];

/// A machine on which every check passes.
pub(super) fn good() -> Facts {
    let mut facts = Facts { now: NOW, ..Facts::default() };
    for path in wanted::FILES {
        facts.files.insert((*path).to_owned(), Ok(None));
    }
    for path in wanted::LISTS.iter().chain(wanted::TEXTS_BELOW) {
        facts.lists.insert((*path).to_owned(), Ok(None));
    }
    files(&mut facts);
    settings_of_the_kernel(&mut facts);
    directories(&mut facts);
    programs(&mut facts);
    entries(&mut facts);
    facts.walk = Ok(Walk { setuid: vec!["/usr/sbin/unix_chkpwd".to_owned()], ..Walk::default() });
    let process = |command: &str, uid: u32| Process {
        command: command.to_owned(),
        status: format!(
            "Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNoNewPrivs:\t1\nSeccomp:\t2\n"
        ),
        profile: "palisade-serve (enforce)".to_owned(),
    };
    facts.processes = Ok(vec![
        process("systemd", 0),
        process("palisade serve", 900),
        process("nats-server", 900),
    ]);
    facts.listeners = Ok(vec![
        listener(Protocol::Tcp, "[::]:443"),
        listener(Protocol::Tcp, "0.0.0.0:22"),
        listener(Protocol::Tcp, "127.0.0.1:4280"),
        listener(Protocol::Udp, "127.0.0.53:53"),
        listener(Protocol::Udp, "10.0.2.15:68"),
    ]);
    facts.settings = Ok(Settings {
        names: vec!["palisade.example.com".to_owned()],
        seal_apart: true,
        broker_is_ours: true,
    });
    facts.port = Ok(Port {
        modern: true,
        weak: Vec::new(),
        certificate: Some(CertificateInfo {
            subject: "CN=palisade.example.com".to_owned(),
            names: vec!["*.example.com".to_owned()],
            issuer: "CN=Example CA".to_owned(),
            not_before: NOW.minus(std::time::Duration::from_hours(240)),
            not_after: NOW.plus(std::time::Duration::from_hours(24 * 90)),
            fingerprint: "AA".to_owned(),
            pin: String::new(),
        }),
    });
    facts
}

pub(super) fn listener(protocol: Protocol, address: &str) -> Listener {
    let address: SocketAddr = address.parse().expect("an address");
    Listener { protocol, address, uid: 0, inode: 1 }
}

fn files(facts: &mut Facts) {
    let mut put = |path: &str, text: &str| {
        facts.files.insert(path.to_owned(), Ok(Some(text.to_owned())));
    };
    put(looks::MOUNTS, MOUNTS);
    put(
        looks::ARGUMENTS,
        "roothash=abc root=/dev/mapper/root ro lockdown=integrity slab_nomerge init_on_alloc=1 \
         audit=1 audit_backlog_limit=8192 vsyscall=none randomize_kstack_offset=on \
         page_alloc.shuffle=1 debugfs=off panic=30\n",
    );
    put("/proc/modules", "erofs 1 0 - Live 0x0\nvmxnet3 1 0 - Live 0x0\n");
    put("/proc/swaps", "Filename Type Size Used Priority\n");
    put("/proc/sys/kernel/panic", "30\n");
    put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    put(
        "/sys/kernel/security/apparmor/profiles",
        "palisade (enforce)\n/usr/bin/nats-server (enforce)\n",
    );
    put("/sys/module/apparmor/parameters/enabled", "Y\n");
    put("/sys/firmware/efi/fw_platform_size", "64\n");
    put(boot::SECURE_BOOT, "\u{6}\0\0\0\u{1}");
    put("/sys/block/dm-0/dev", "254:0\n");
    put("/sys/block/dm-0/dm/uuid", "CRYPT-VERITY-0123-root\n");
    put("/etc/passwd", PASSWD);
    put("/etc/group", GROUP);
    put(
        "/etc/shadow",
        "root:!:1::::::\npalisade:!*:1::::::\npalisade-console:!:1::::::\nadmin:!:1::::::\n",
    );
    put(
        "/etc/login.defs",
        "# UMASK 022\nPASS_MAX_DAYS\t365\nPASS_MIN_DAYS 1\nPASS_WARN_AGE 7\nUMASK 027\nENCRYPT_METHOD YESCRYPT\n",
    );
    put("/etc/profile", "umask 027\nTMOUT=600\nreadonly TMOUT\nexport TMOUT\n");
    let warning = "Authorized access only. Use is monitored and recorded; abuse is prosecuted by law.\n\
                   This private system has an owner.\n";
    put("/etc/issue", warning);
    put("/etc/issue.net", warning);
    put("/etc/audit/auditd.conf", "max_log_file = 8\nnum_logs = 5\nmax_log_file_action = ROTATE\n");
    put("/efi/loader/loader.conf", "timeout 0\neditor no\n");
    put("/usr/lib/palisade/accounts", "u palisade 900\ng palisade 900\n");
    put("/sys/class/net/lo/flags", "0x9\n");
    put("/sys/class/net/eth0/flags", "0x1003\n");
}

fn settings_of_the_kernel(facts: &mut Facts) {
    for check in checks() {
        let Look::Sysctl(settings) = check.look else { continue };
        for (key, values) in settings {
            facts.files.insert(looks::sysctl_file(key), Ok(Some(format!("{}\n", values[0]))));
        }
    }
}

fn directories(facts: &mut Facts) {
    let mut put = |directory: &str, name: &str, text: &str| {
        facts.lists.insert(directory.to_owned(), Ok(Some(vec![name.to_owned()])));
        facts.files.insert(format!("{directory}/{name}"), Ok(Some(text.to_owned())));
    };
    put(
        "/usr/lib/modprobe.d",
        "palisade.conf",
        "install usb-storage /bin/true\ninstall dccp /bin/true\n",
    );
    put(
        "/usr/lib/systemd/journald.conf.d",
        "palisade.conf",
        "[Journal]\nStorage=persistent\nSystemMaxUse=500M\n",
    );
    put(
        "/usr/lib/systemd/coredump.conf.d",
        "palisade.conf",
        "[Coredump]\nStorage=none\nProcessSizeMax=0\n",
    );
    put("/etc/systemd/resolved.conf.d", "palisade.conf", "[Resolve]\nLLMNR=no\nMulticastDNS=no\n");
    put("/etc/security/limits.d", "palisade.conf", "* hard core 0\n");
    let mut list = |path: &str, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        facts.lists.insert(path.to_owned(), Ok(Some(names)));
    };
    list("/sys/class/net", &["eth0", "lo"]);
    list("/var/log/journal", &["0123"]);
    list(looks::MODULES, &["erofs", "usb_storage", "dccp", "vmxnet3"]);
    list(wanted::PROGRAMS, &[]);
}

fn programs(facts: &mut Facts) {
    let mut said = |command: &str, text: &str| {
        facts.programs.insert(command.to_owned(), Ok(Some(text.to_owned())));
    };
    said(
        services::ENABLED,
        "palisade.service enabled enabled\npalisade-node.service enabled enabled\n\
         nftables.service enabled enabled\nssh.service enabled-runtime enabled\n",
    );
    said(services::FAILED, "");
    let mut states = String::new();
    for (id, load, active, file) in [
        ("ssh.service", "loaded", "active", "enabled-runtime"),
        ("ssh.socket", "loaded", "inactive", "disabled"),
        ("auditd.service", "loaded", "active", "enabled"),
        ("systemd-timesyncd.service", "loaded", "active", "enabled"),
        ("chrony.service", "not-found", "inactive", ""),
        ("ntp.service", "not-found", "inactive", ""),
        ("ntpsec.service", "not-found", "inactive", ""),
        ("nftables.service", "loaded", "active", "enabled"),
        ("debug-shell.service", "masked", "inactive", "masked"),
        ("ctrl-alt-del.target", "masked", "inactive", "masked"),
        ("getty@tty1.service", "masked", "inactive", "masked"),
        ("serial-getty@ttyS0.service", "masked", "inactive", "masked"),
        ("autovt@tty1.service", "masked", "inactive", "masked"),
    ] {
        let _ = write!(
            states,
            "Id={id}\nLoadState={load}\nActiveState={active}\nUnitFileState={file}\n\n"
        );
    }
    said(services::STATES, &states);
    said(services::SSHD, SSHD);
    said(services::TIME, "NTP=yes\nNTPSynchronized=yes\n");
    said(network::RULES, RULES);
    said(logging::AUDIT_STATE, "enabled 2\nfailure 1\n");
    let rules: Vec<_> = AUDIT_KEYS.iter().map(|key| format!("-w /x -p wa -k {key}")).collect();
    said(logging::AUDIT_RULES, &rules.join("\n"));
    let level = |unit| format!("→ Overall exposure level for {unit}: 1.8 OK 🙂\n");
    said(&own::exposures(), &own::UNITS.iter().map(level).collect::<String>());
}

fn entries(facts: &mut Facts) {
    for (path, uid, gid, mode) in [
        ("/etc/passwd", 0, 0, 0o644),
        ("/etc/group", 0, 0, 0o644),
        ("/etc/shadow", 0, 42, 0o640),
        ("/etc/ssh/sshd_config", 0, 0, 0o600),
        ("/etc/ssh/sshd_config.d/10-palisade.conf", 0, 0, 0o600),
        ("/var/lib/palisade-node", 0, 0, 0o711),
        ("/var/lib/palisade", 900, 900, 0o700),
        ("/var/lib/palisade/palisade.db", 900, 900, 0o600),
        ("/var/lib/palisade/keys", 900, 900, 0o700),
        ("/var/lib/palisade/keys/keystore", 900, 900, 0o600),
        ("/run/palisade-node", 0, 0, 0o755),
        ("/run/palisade-node/serve.toml", 0, 0, 0o644),
        ("/run/palisade-node/node.sock", 0, 903, 0o660),
        ("/usr/bin/palisade", 0, 0, 0o755),
        ("/usr/lib/palisade/update-keys/2026.pub", 0, 0, 0o644),
        ("/var/log/audit", 0, 0, 0o750),
        ("/var/log/wtmp", 0, 0, 0o664),
        ("/home/admin", 1000, 1000, 0o750),
        ("/root", 0, 0, 0o700),
        ("/efi", 0, 0, 0o700),
    ] {
        facts.entries.insert(path.to_owned(), Ok(Some(Entry { uid, gid, mode })));
    }
    for path in [
        "/etc/passwd-",
        "/etc/group-",
        "/etc/gshadow",
        "/etc/shadow-",
        "/etc/gshadow-",
        "/boot",
        "/var/lib/palisade-node/ssh",
        "/var/lib/palisade-node/ssh/ed25519",
    ] {
        facts.entries.insert(path.to_owned(), Ok(None));
    }
    for directory in [
        "/etc/ssh/sshd_config.d",
        "/var/lib/palisade/keys",
        "/usr/lib/palisade/update-keys",
        "/home",
        "/var/log",
    ] {
        facts.lists.insert(directory.to_owned(), Ok(Some(Vec::new())));
    }
}
