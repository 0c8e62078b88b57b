//! The shape of the code: who may import whom, who may name which library,
//! how long files may be, and that every module says what it is.
//!
//! Adding an edge here is a decision of its own; make it in its own commit.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each module may import. Base modules may be imported by everybody.
const EDGES: &[(&str, &[&str])] = &[
    ("rbac", &[]),
    // A list needs to know how far a permit reaches, and nothing else of rbac.
    ("store", &["rbac"]),
    ("bus", &[]),
    ("keystore", &[]),
    ("observability", &[]),
    // What a node hands over when another joins is sealed with the keystore's operations.
    ("node", &["keystore"]),
    ("vault", &["keystore", "store"]),
    ("audit", &["keystore", "observability", "rbac", "store", "vault"]),
    ("certificates", &["bus"]),
    (
        "appliance",
        &["audit", "certificates", "doctor", "identity", "keystore", "node", "rbac", "store"],
    ),
    ("doctor", &["bus", "certificates", "node"]),
    ("identity", &["audit", "observability", "rbac", "store", "vault"]),
    ("packs", &[]),
    ("trail", &["audit", "identity", "rbac", "store"]),
    ("tenants", &["audit", "identity", "rbac", "store"]),
    (
        "clusters",
        &["audit", "bus", "identity", "observability", "rbac", "store", "tenants", "vault"],
    ),
    (
        "app",
        &[
            "appliance",
            "audit",
            "bus",
            "certificates",
            "clusters",
            "identity",
            "keystore",
            "node",
            "observability",
            "packs",
            "rbac",
            "store",
            "tenants",
            "trail",
            "vault",
        ],
    ),
    ("ui", &[]),
    ("agent", &["bus"]),
    ("simulate", &["agent", "bus"]),
    ("console", &["node"]),
    (
        "gateway",
        &[
            "app",
            "appliance",
            "audit",
            "bus",
            "certificates",
            "clusters",
            "doctor",
            "identity",
            "keystore",
            "node",
            "observability",
            "packs",
            "rbac",
            "store",
            "tenants",
            "trail",
            "ui",
        ],
    ),
    ("cli", &["*"]),
];

const BASE: &[&str] = &["clock", "config", "error", "files", "ids", "release", "secret"];

/// Libraries that one module alone may name.
const OWNED: &[(&str, &[&str])] = &[
    ("axum", &["gateway"]),
    ("axum_server", &["gateway"]),
    ("sqlx", &["store"]),
    ("async_nats", &["bus"]),
    ("nkeys", &["bus"]),
    ("kube", &["agent"]),
    ("argon2", &["identity", "keystore"]),
    ("clap", &["cli"]),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inner = path.strip_prefix(&root).expect("below src").to_owned();
            let first = inner.iter().next().expect("a name").to_string_lossy().into_owned();
            let module = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
            let text = fs::read_to_string(&path).expect("UTF-8");
            (module, inner, text)
        })
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests") || path.ends_with("tests.rs")
}

/// The text before the unit tests of a file.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Modules of this crate that a text names: `crate::x` and `use crate::{x…, y…}`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = &lines.collect::<Vec<_>>().join("\n");
    for (place, _) in text.match_indices("crate::") {
        let rest = &text[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            let mut naming = true;
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(std::mem::take(&mut name));
                        naming = true;
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 && naming {
                    if character.is_alphanumeric() || character == '_' {
                        name.push(character);
                    } else if !name.is_empty() {
                        naming = false;
                    }
                }
            }
            found.insert(name);
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.insert(rest[..end].to_owned());
        }
    }
    found.remove("");
    found
}

#[test]
fn imports_only_go_down() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        if matches!(module.as_str(), "lib" | "main") || is_test(&path) {
            continue;
        }
        let allowed: &[&str] =
            EDGES.iter().find(|(name, _)| *name == module).map_or(&[], |(_, edges)| edges);
        for import in imports(code(&text)) {
            let fine = import == module
                || BASE.contains(&import.as_str())
                || allowed.contains(&import.as_str())
                || allowed.contains(&"*")
                || !EDGES.iter().any(|(name, _)| *name == import);
            if !fine {
                wrong.push(format!("{} imports crate::{import}", path.display()));
            }
        }
        if BASE.contains(&module.as_str()) {
            let above = imports(code(&text))
                .into_iter()
                .find(|i| !BASE.contains(&i.as_str()) && EDGES.iter().any(|(name, _)| name == i));
            wrong.extend(above.map(|i| format!("the base module {module} imports crate::{i}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_library_is_named_only_where_it_belongs() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        for (library, owners) in OWNED {
            let named = text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//")
                    && (line.contains(&format!("use {library}::"))
                        || line.contains(&format!(" {library}::"))
                        || line.contains(&format!("({library}::"))
                        || line.contains(&format!("<{library}::")))
            });
            if named && !owners.contains(&module.as_str()) {
                wrong.push(format!("{} names {library}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    for (_, path, text) in sources() {
        assert!(
            text.starts_with("//!") || is_test(&path),
            "{} has no module documentation",
            path.display()
        );
    }
}

#[test]
fn no_file_is_longer_than_eight_hundred_lines() {
    for (_, path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines", path.display());
    }
}

#[test]
fn folders_have_their_file_beside_them() {
    let strays: Vec<_> = sources()
        .into_iter()
        .filter(|(_, path, _)| path.ends_with("mod.rs"))
        .map(|(_, path, _)| path)
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn the_rule_finds_what_it_forbids() {
    let text = "use crate::{\n    audit::{Event, Ledger},\n    gateway::router,\n};\nfn f(x: crate::bus::Bus) {}";
    let found: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(found, ["audit", "bus", "gateway"]);
}
