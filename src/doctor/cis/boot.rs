//! How the machine starts.

use super::{Check, IMAGE, Look, Seen, Verdict, looks, looks::value_of, services};
use crate::doctor::facts::Facts;

/// Whether the firmware verifies what it starts: four bytes of attributes, then 0 or 1.
pub(super) const SECURE_BOOT: &str =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Whether it has no key yet to verify with.
pub(super) const SETUP_MODE: &str =
    "/sys/firmware/efi/efivars/SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c";

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: "2.1",
        title: "The machine starts by UEFI",
        reason: "The unified kernel image, boot counting and Secure Boot need it.",
        fix: "Set the firmware of the virtual machine to EFI.",
        level: 1,
        look: Look::Facts(uefi),
    },
    Check {
        number: "2.2",
        title: "The kernel is locked down",
        reason: "Even root must not read or change the running kernel.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(lockdown),
    },
    Check {
        number: "2.3",
        title: "The kernel clears memory that it hands out",
        reason: "What was in memory before must not leak to the next owner.",
        fix: IMAGE,
        level: 1,
        look: Look::Argument("init_on_alloc=1"),
    },
    Check {
        number: "2.4",
        title: "The kernel keeps its kinds of objects apart",
        reason: "An overflow in one kind of object must not reach another.",
        fix: IMAGE,
        level: 1,
        look: Look::Argument("slab_nomerge"),
    },
    Check {
        number: "2.5",
        title: "Processes are recorded from the first one on",
        reason: "What starts before the audit daemon would otherwise be invisible to its rules.",
        fix: IMAGE,
        level: 1,
        look: Look::Argument("audit=1"),
    },
    Check {
        number: "2.6",
        title: "There is room for records until the audit daemon runs",
        reason: "Records of the start would be lost when the queue is short.",
        fix: IMAGE,
        level: 1,
        look: Look::Argument("audit_backlog_limit=8192"),
    },
    Check {
        number: "2.7",
        title: "There is no fixed page of system calls",
        reason: "Code at a known address helps those who want to divert a program.",
        fix: IMAGE,
        level: 1,
        look: Look::Argument("vsyscall=none"),
    },
    Check {
        number: "2.8",
        title: "The kernel's stack moves with every call",
        reason: "Attacks that rely on the layout of the stack fail more often.",
        fix: IMAGE,
        level: 1,
        look: Look::Argument("randomize_kstack_offset=on"),
    },
    Check {
        number: "2.9",
        title: "Free pages are handed out in random order",
        reason: "It makes the place of new memory harder to guess.",
        fix: IMAGE,
        level: 2,
        look: Look::Argument("page_alloc.shuffle=1"),
    },
    Check {
        number: "2.10",
        title: "The kernel's debug files are off",
        reason: "They show the inside of the kernel and are rarely checked for safety.",
        fix: IMAGE,
        level: 2,
        look: Look::Argument("debugfs=off"),
    },
    Check {
        number: "2.11",
        title: "A kernel that has failed starts again",
        reason: "A machine that stands still after a fault neither serves nor falls back to the other slot.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(panic),
    },
    Check {
        number: "2.12",
        title: "The boot menu lets nobody edit the command line",
        reason: "Whoever sees the console could switch off every other protection.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(editor),
    },
    Check {
        number: "2.13",
        title: "The firmware starts only what is signed",
        reason: "Without it an attacker with access to the disk can replace the kernel and its hash of the root.",
        fix: "Enrol the image's key in the firmware and switch Secure Boot on, where the platform allows it.",
        level: 2,
        look: Look::Facts(secure_boot),
    },
    Check {
        number: "2.14",
        title: "No shell opens without a login",
        reason: "A rescue shell on the console would be root for whoever stands before it.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(no_shell),
    },
    Check {
        number: "2.15",
        title: "The boot partition is root's alone",
        reason: "Whoever writes there decides what starts next.",
        fix: IMAGE,
        level: 1,
        look: Look::Facts(boot_partition),
    },
];

fn uefi(facts: &Facts) -> Seen {
    Ok(match facts.text("/sys/firmware/efi/fw_platform_size")? {
        Some(bits) => Verdict::Pass(format!("started by UEFI of {} bits", bits.trim())),
        None => Verdict::Fail("started by a BIOS".to_owned()),
    })
}

fn lockdown(facts: &Facts) -> Seen {
    let Some(state) = facts.text("/sys/kernel/security/lockdown")? else {
        return Ok(Verdict::Fail("the kernel knows no lockdown".to_owned()));
    };
    let mode = state.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("none");
    Ok(match mode {
        "integrity" | "confidentiality" => Verdict::Pass(format!("lockdown is {mode}")),
        _ => Verdict::Fail(format!("lockdown is {mode}")),
    })
}

fn panic(facts: &Facts) -> Seen {
    let value = facts.need("/proc/sys/kernel/panic")?.trim();
    let seconds: i64 = value.parse().map_err(|_| format!("kernel.panic is {value}"))?;
    Ok(if seconds == 0 {
        Verdict::Fail("it would stand still".to_owned())
    } else {
        Verdict::Pass(format!("kernel.panic = {seconds}"))
    })
}

fn editor(facts: &Facts) -> Seen {
    for path in
        ["/efi/loader/loader.conf", "/boot/loader/loader.conf", "/boot/efi/loader/loader.conf"]
    {
        let Some(text) = facts.text(path)? else { continue };
        let off = looks::word_after(text, "editor")
            .is_some_and(|word| matches!(word, "no" | "0" | "off" | "false"));
        return Ok(if off {
            Verdict::Pass(format!("{path} says `editor no`"))
        } else {
            Verdict::Fail(format!("{path} does not say `editor no`"))
        });
    }
    Err("the boot partition is not mounted".to_owned())
}

fn secure_boot(facts: &Facts) -> Seen {
    let is = |path| Ok::<_, String>(facts.text(path)?.map(|value| value.ends_with('\u{1}')));
    Ok(match (is(SECURE_BOOT)?, is(SETUP_MODE)?) {
        (Some(true), _) => Verdict::Pass("the firmware verifies what it starts".to_owned()),
        (Some(false), Some(false)) => {
            Verdict::Fail("the firmware has keys, and is told not to use them".to_owned())
        }
        (Some(false), _) => Verdict::NotApplicable("the firmware has no keys".to_owned()),
        (None, _) => Verdict::NotApplicable("the firmware knows no Secure Boot".to_owned()),
    })
}

fn no_shell(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for unit in ["debug-shell.service", "ctrl-alt-del.target"] {
        let unit = services::unit(facts, unit)?;
        if unit.load != "masked" && unit.load != "not-found" {
            wrong.push(format!("{} is not masked", unit.id));
        }
    }
    let directories: Vec<_> = super::wanted::TEXTS_BELOW
        .iter()
        .copied()
        .filter(|path| path.contains("emergency") || path.contains("rescue"))
        .collect();
    for (path, text) in facts.texts_below(&directories)? {
        if value_of(text, "Environment")
            .is_some_and(|value| value.contains("SYSTEMD_SULOGIN_FORCE"))
        {
            wrong.push(format!("{path} opens a shell without a password"));
        }
    }
    Ok(Verdict::unless(&wrong, "no unit opens a shell"))
}

fn boot_partition(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    let mut seen = false;
    for path in ["/boot", "/efi"] {
        let mount = looks::mount(facts, path)?;
        if mount.at != path || mount.kind == "autofs" {
            continue;
        }
        seen = true;
        for (_, entry) in facts.entries(path)? {
            if entry.mode & 0o077 != 0 {
                wrong.push(format!("{path} has mode {:04o}", entry.mode & 0o777));
            }
        }
        for option in ["nodev", "nosuid", "noexec"] {
            if !mount.options.contains(option) {
                wrong.push(format!("{path} lacks {option}"));
            }
        }
    }
    if !seen {
        return Ok(Verdict::Pass("it is not mounted".to_owned()));
    }
    Ok(Verdict::unless(&wrong, "root's alone"))
}
