//! What runs, and what is on the machine besides.

use super::{
    Check, IMAGE, Look, RESTART, Seen, Verdict,
    looks::{value_of, word_after},
    wanted,
};
use crate::doctor::{facts::Facts, machine::unit_names};

/// Units that start by themselves.
pub(super) const ENABLED: &str =
    "systemctl list-unit-files --state=enabled,enabled-runtime --no-legend --no-pager --full";
/// Units that have failed.
pub(super) const FAILED: &str =
    "systemctl list-units --failed --plain --no-legend --no-pager --full";
/// The state of single units.
pub(super) const STATES: &str = "systemctl show --no-pager \
    --property=Id,LoadState,ActiveState,UnitFileState ssh.service ssh.socket auditd.service \
    systemd-timesyncd.service chrony.service ntp.service ntpsec.service nftables.service \
    apparmor.service debug-shell.service ctrl-alt-del.target getty@tty1.service \
    serial-getty@ttyS0.service autovt@tty1.service systemd-coredump.socket";
/// The settings of SSH as they take effect.
pub(super) const SSHD: &str = "sshd -T";
/// The state of the clock.
pub(super) const TIME: &str = "timedatectl show";

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: "5.1",
        title: "Only what the appliance needs starts by itself",
        reason: "Every further service is a further way in.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(only_allowed),
    },
    Check {
        number: "5.2",
        title: "No service has failed",
        reason: "A protection that failed to start protects nothing.",
        fix: "Look at Appliance, Health: it names the cause.",
        level: 1,
        look: Look::Facts(none_failed),
    },
    Check {
        number: "5.3",
        title: "Nobody can log in on the console",
        reason: "The console shows our own screen; there is no password to try.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(no_getty),
    },
    Check {
        number: "5.4",
        title: "SSH takes keys only, and never root",
        reason: "Passwords are guessed, and root has no name that could be recorded.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(ssh_keys_only),
    },
    Check {
        number: "5.5",
        title: "SSH is no tunnel",
        reason: "It would lead round the firewall.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(ssh_no_tunnel),
    },
    Check {
        number: "5.6",
        title: "SSH gives little time and few tries",
        reason: "Guessing and forgotten sessions must end.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(ssh_limits),
    },
    Check {
        number: "5.7",
        title: "SSH admits named users, warns them and records them",
        reason: "Whoever logs in must be known and must know that it is recorded.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(ssh_users),
    },
    Check {
        number: "5.8",
        title: "SSH speaks no broken cryptography",
        reason: "Old ciphers and digests can be forged or read.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(ssh_crypto),
    },
    Check {
        number: "5.9",
        title: "The clock is set from the network, by one service",
        reason: "Certificates, sessions and records rely on the time.",
        fix: "Name reachable time servers: console F2, or the property ntp.",
        level: 1,
        look: Look::Facts(clock_is_set),
    },
    Check {
        number: "5.10",
        title: "Crashed processes leave no memory behind",
        reason: "It would hold keys and sessions.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(no_cores),
    },
    Check {
        number: "5.11",
        title: "There are no tools for intruders",
        reason: "Compilers, debuggers and downloads make a foothold larger.",
        fix: IMAGE,
        level: 2,
        look: Look::Facts(no_tools),
    },
    Check {
        number: "5.12",
        title: "The firewall is loaded at every start",
        reason: "Rules that are loaded by hand are gone after a restart.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(|facts| active(facts, "nftables.service")),
    },
];

/// What may start by itself besides `palisade-*`. A name that ends with `@`
/// stands for its instances.
const ALLOWED: &[&str] = &[
    "palisade.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-varlink.socket",
    "systemd-networkd-wait-online.service",
    "systemd-network-generator.service",
    "systemd-remount-fs.service",
    "systemd-resolved.service",
    "systemd-resolved-varlink.socket",
    "systemd-resolved-monitor.socket",
    "systemd-timesyncd.service",
    "systemd-pstore.service",
    "systemd-bless-boot.service",
    "systemd-growfs@",
    "systemd-repart.service",
    "nftables.service",
    "apparmor.service",
    "auditd.service",
    "audit-rules.service",
    "open-vm-tools.service",
    "vgauth.service",
    "acct.service",
    "tmp.mount",
    "fstrim.timer",
    "logrotate.timer",
    "systemd-tmpfiles-clean.timer",
    "systemd-sysupdate.service",
    "reboot.target",
    "remote-fs.target",
    "machines.target",
    "ssh.service",
    "postgresql.service",
    "postgresql@",
    "patroni.service",
    "etcd.service",
    "keepalived.service",
    "systemd-journald-audit.socket",
    "boot-complete.target",
    "systemd-boot-check-no-failures.service",
];

fn only_allowed(facts: &Facts) -> Seen {
    let allowed = |name: &str| {
        let template = name.split_once('@').map(|(front, _)| format!("{front}@"));
        name.starts_with("palisade-")
            || ALLOWED.contains(&name)
            || template.is_some_and(|template| ALLOWED.contains(&template.as_str()))
    };
    let names: Vec<_> = unit_names(facts.output(ENABLED)?).collect();
    if !names.contains(&"palisade.service") {
        return Ok(Verdict::Fail("palisade.service itself does not start".to_owned()));
    }
    let wrong: Vec<_> = names
        .iter()
        .filter(|name| !allowed(name))
        .map(|name| format!("{name} starts by itself"))
        .collect();
    Ok(Verdict::unless(&wrong, format!("{} units, all of the image's list", names.len())))
}

fn none_failed(facts: &Facts) -> Seen {
    let wrong: Vec<_> =
        unit_names(facts.output(FAILED)?).map(|name| format!("{name} has failed")).collect();
    Ok(Verdict::unless(&wrong, "none"))
}

/// The state of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unit<'a> {
    pub(super) id: &'a str,
    pub(super) load: &'a str,
    active: &'a str,
    file: &'a str,
}

/// A unit of [`STATES`].
pub(super) fn unit<'a>(facts: &'a Facts, id: &str) -> Result<Unit<'a>, String> {
    let blocks = facts.output(STATES)?.split("\n\n");
    let mut units = blocks.map(|block| Unit {
        id: value_of(block, "Id").unwrap_or_default(),
        load: value_of(block, "LoadState").unwrap_or_default(),
        active: value_of(block, "ActiveState").unwrap_or_default(),
        file: value_of(block, "UnitFileState").unwrap_or_default(),
    });
    units.find(|unit| unit.id == id).ok_or_else(|| format!("systemd says nothing of {id}"))
}

pub(super) fn active(facts: &Facts, id: &str) -> Seen {
    let unit = unit(facts, id)?;
    let mut wrong = Vec::new();
    if unit.active != "active" {
        wrong.push(format!("{id} is {}", unit.active));
    }
    if !matches!(unit.file, "enabled" | "enabled-runtime" | "static") {
        wrong.push(format!("{id} is {}", unit.file));
    }
    Ok(Verdict::unless(&wrong, format!("{id} is {} and {}", unit.file, unit.active)))
}

fn no_getty(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for id in ["getty@tty1.service", "serial-getty@ttyS0.service", "autovt@tty1.service"] {
        if unit(facts, id)?.active == "active" {
            wrong.push(format!("{id} offers a login"));
        }
    }
    let running = facts.processes()?.iter().map(|process| process.command.as_str());
    wrong.extend(
        running
            .filter(|command| command.contains("getty"))
            .map(|command| format!("{command} runs")),
    );
    Ok(Verdict::unless(&wrong, "no login on the console"))
}

/// The settings of SSH, or that it is off.
fn ssh(facts: &Facts) -> Result<Option<&str>, String> {
    let running = ["ssh.service", "ssh.socket"]
        .iter()
        .map(|id| unit(facts, id))
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .any(|unit| unit.active == "active" || unit.file.starts_with("enabled"));
    if running { facts.output(SSHD).map(Some) } else { Ok(None) }
}

/// A setting and whether its value is good.
type Setting = (&'static str, fn(&str) -> bool);

fn ssh_settings(facts: &Facts, wanted: &[Setting]) -> Seen {
    let Some(settings) = ssh(facts)? else {
        return Ok(Verdict::NotApplicable("SSH is off".to_owned()));
    };
    let wrong: Vec<_> = wanted
        .iter()
        .filter_map(|(name, good)| {
            let value = word_after(settings, name).unwrap_or("not set");
            (!good(value)).then(|| format!("{name} is {value}"))
        })
        .collect();
    Ok(Verdict::unless(&wrong, "SSH is on and strict"))
}

fn no(value: &str) -> bool {
    value == "no"
}

fn at_most(value: &str, most: u32) -> bool {
    value.parse::<u32>().is_ok_and(|number| (1..=most).contains(&number))
}

fn ssh_keys_only(facts: &Facts) -> Seen {
    ssh_settings(
        facts,
        &[
            ("permitrootlogin", no),
            ("passwordauthentication", no),
            ("kbdinteractiveauthentication", no),
            ("hostbasedauthentication", no),
            ("permitemptypasswords", no),
            ("pubkeyauthentication", |value| value == "yes"),
        ],
    )
}

fn ssh_no_tunnel(facts: &Facts) -> Seen {
    ssh_settings(
        facts,
        &[
            ("x11forwarding", no),
            ("allowtcpforwarding", no),
            ("allowagentforwarding", no),
            ("allowstreamlocalforwarding", no),
            ("gatewayports", no),
            ("permittunnel", no),
            ("permituserenvironment", no),
        ],
    )
}

fn ssh_limits(facts: &Facts) -> Seen {
    ssh_settings(
        facts,
        &[
            ("maxauthtries", |value| at_most(value, 3)),
            ("maxsessions", |value| at_most(value, 2)),
            ("logingracetime", |value| at_most(value, 30)),
            ("clientaliveinterval", |value| at_most(value, 300)),
            ("clientalivecountmax", |value| at_most(value, 2)),
            ("tcpkeepalive", no),
            ("compression", no),
        ],
    )
}

fn ssh_users(facts: &Facts) -> Seen {
    ssh_settings(
        facts,
        &[
            ("allowusers", |value| value == "admin"),
            ("banner", |value| value.starts_with('/')),
            ("loglevel", |value| value == "VERBOSE"),
            ("strictmodes", |value| value == "yes"),
            ("ignorerhosts", |value| value == "yes"),
            ("usedns", no),
        ],
    )
}

fn ssh_crypto(facts: &Facts) -> Seen {
    fn without(list: &str, bad: &[&str]) -> bool {
        list != "not set" && list.split(',').all(|name| !bad.iter().any(|bad| name.contains(bad)))
    }
    ssh_settings(
        facts,
        &[
            ("ciphers", |value| without(value, &["cbc", "3des", "arcfour", "blowfish"])),
            ("macs", |value| without(value, &["md5", "sha1", "umac-64"])),
            ("kexalgorithms", |value| without(value, &["sha1", "group1-", "group14-sha1"])),
        ],
    )
}

fn clock_is_set(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    if unit(facts, "systemd-timesyncd.service")?.active != "active" {
        wrong.push("systemd-timesyncd does not run".to_owned());
    }
    for id in ["chrony.service", "ntp.service", "ntpsec.service"] {
        if unit(facts, id)?.active == "active" {
            wrong.push(format!("{id} sets the clock as well"));
        }
    }
    if value_of(facts.output(TIME)?, "NTPSynchronized") != Some("yes") {
        wrong.push("the clock is not synchronised".to_owned());
    }
    Ok(Verdict::unless(&wrong, "synchronised by systemd-timesyncd"))
}

fn no_cores(facts: &Facts) -> Seen {
    let texts =
        facts.texts_below(&["/usr/lib/systemd/coredump.conf.d", "/etc/systemd/coredump.conf.d"])?;
    let last = |name| texts.iter().filter_map(|(_, text)| value_of(text, name)).next_back();
    let mut wrong = Vec::new();
    for (name, value) in [("Storage", "none"), ("ProcessSizeMax", "0")] {
        if last(name) != Some(value) {
            wrong.push(format!("{name} of coredumps is not {value}"));
        }
    }
    let limits = facts.texts_below(&["/etc/security/limits.d"])?;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let limited = limits.iter().flat_map(|(_, text)| text.lines()).any(|line| {
        let words = words(line);
        words.first().is_some_and(|who| who == "*")
            && words.get(1..) == Some(&["hard".to_owned(), "core".to_owned(), "0".to_owned()][..])
    });
    if !limited {
        wrong.push("there is no hard limit of 0 for cores".to_owned());
    }
    Ok(Verdict::unless(&wrong, "none are kept"))
}

fn no_tools(facts: &Facts) -> Seen {
    let found = facts.names(wanted::PROGRAMS)?.unwrap_or_default();
    let wrong: Vec<_> = found.iter().map(|name| format!("{name} is there")).collect();
    Ok(Verdict::unless(&wrong, "none"))
}
