//! Tests of the settings as an operator meets them.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::*;

fn with_file(text: &str) -> (TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("palisade.toml");
    fs::write(&path, text).unwrap();
    (dir, Sources { file: Some(path), ..Sources::default() })
}

fn refused(sources: Sources) -> String {
    let error = Config::load(sources).expect_err("these settings are wrong");
    assert!(!error.to_string().contains('\n'), "more than one line: {error}");
    error.to_string()
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn secret_file(dir: &TempDir, content: &str, mode: u32) -> PathBuf {
    let path = dir.path().join("secret");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn without_any_source_every_setting_has_its_default() {
    let config = Config::load(Sources::default()).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8443".parse().unwrap());
    assert_eq!(config.server.authority(), "localhost:8443");
    assert_eq!(config.storage.database, Database::Sqlite);
    assert_eq!(config.keystore.dir, PathBuf::from("./var/keys"));
    assert_eq!(config.bus.mode, BusMode::Managed);
    assert_eq!(config.limits.body_bytes, 1024 * 1024);
    assert_eq!(config.agents.heartbeat_timeout_seconds.duration(), Duration::from_secs(30));
    assert_eq!(config.effective().len(), Setting::all().count());
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let (_dir, mut sources) =
        with_file("[server]\nlisten = '127.0.0.1:1'\nfqdn = 'file.test'\ndrain_seconds = 1\n");
    sources.env = vec![
        variable("PALISADE_SERVER_FQDN", "variable.test"),
        variable("PALISADE_SERVER_DRAIN_SECONDS", "2"),
        variable("HOME", "/root"),
    ];
    sources.overrides = vec![("server.drain_seconds".into(), "3".into())];
    let config = Config::load(sources).unwrap();
    assert_eq!(config.server.listen.port(), 1);
    assert_eq!(config.server.fqdn.as_str(), "variable.test");
    assert_eq!(config.server.drain_seconds, Seconds(3));

    let described = config.describe();
    for (setting, origin) in [
        ("server.listen = \"127.0.0.1:1\"", "palisade.toml line 2"),
        ("server.fqdn = \"variable.test\"", "environment variable PALISADE_SERVER_FQDN"),
        ("server.drain_seconds = 3", "command line"),
        ("log.filter = \"info,async_nats=off\"", "default"),
        ("keystore.dir = \"./var/keys\"", "follows storage.data_dir"),
    ] {
        let line = described.lines().find(|line| line.starts_with(setting));
        assert!(line.is_some_and(|line| line.ends_with(origin)), "{setting}: {line:?}");
    }
}

#[test]
fn the_file_is_the_named_one_else_the_variable_else_the_first_that_exists() {
    let (dir, sources) = with_file("[log]\nfilter = 'debug'\n");
    let path = sources.file.unwrap();
    let by_variable = Sources {
        env: vec![variable("PALISADE_CONFIG", path.to_str().unwrap())],
        ..Sources::default()
    };
    assert_eq!(Config::load(by_variable).unwrap().log.filter.as_str(), "debug");
    let by_search = Sources {
        search: vec![dir.path().join("absent.toml"), path.clone()],
        ..Sources::default()
    };
    let config = Config::load(by_search).unwrap();
    assert_eq!(config.file(), Some(&*path));
    let absent = Sources { file: Some(dir.path().join("absent.toml")), ..Sources::default() };
    assert!(refused(absent).contains("absent.toml cannot be read"));
}

#[test]
fn a_mistake_in_the_file_names_the_key_and_the_line() {
    for (text, expected) in [
        (
            "[server]\n\nlistn = 'x'\n",
            "server.listn (…palisade.toml line 3) does not exist: did you mean server.listen?",
        ),
        ("[sever]\n", "sever (…palisade.toml line 1) does not exist"),
        ("server = 1\n", "server (…palisade.toml line 1) is a section"),
        (
            "[server]\nlisten = 8443\n",
            "server.listen (…palisade.toml line 2) must be an address and a port",
        ),
        (
            "[server]\ndrain_seconds = '5'\n",
            "server.drain_seconds (…palisade.toml line 2) must be a whole number, not text",
        ),
        ("[server]\ndrain_seconds = 601\n", "must be between 0 and 600, not 601"),
        ("[server]\ndrain_seconds = -1\n", "must be between 0 and 600, not -1"),
        ("[server]\ndrain_seconds = 1.5\n", "must be a whole number, not a number with a fraction"),
        (
            "[server]\nfqdn = 'not a name'\n",
            "server.fqdn (…palisade.toml line 2) must be a DNS name",
        ),
        ("[server]\ntrusted_proxies = ['10.0.0.0/33']\n", "has an entry that must be a network"),
        ("[server]\nextra_names = 'one.test'\n", "must be a list of texts in quotes, not text"),
        ("[storage]\ndatabase = 'mysql'\n", "must be one of sqlite, postgres"),
        ("[log]\nfilter = 'loud'\n", "log.filter (…palisade.toml line 2) must be a level"),
        ("[bus]\nwebsocket_listen = '0.0.0.0:4280'\n", "must be a loopback address"),
        ("[session]\nidle_minutes = 5\n", "must be between 15 and 43200"),
        ("[storage]\ndatabase = 'postgres'\n", "storage.postgres.url (default) must be set"),
        (
            "[storage]\ndatabase = 'postgres'\n[storage.postgres]\nurl = 'postgresql://p@db/p'\n",
            "storage.postgres.ca_file (default) must be set because the server is on another machine",
        ),
        (
            "[storage.postgres]\nurl = 'postgresql://p@db1:5432,db2:x,db3/p'\n",
            "storage.postgres.url (…palisade.toml line 2) has a port that is not between 1 and 65535 \
             as its server number 2",
        ),
        ("[server\n", "palisade.toml line 1 is not valid TOML"),
        ("[server]\nlisten = 1\nlisten = 2\n", "palisade.toml line 3 is not valid TOML"),
    ] {
        let (dir, sources) = with_file(text);
        let told = refused(sources).replace(&format!("{}/", dir.path().display()), "…");
        assert!(told.contains(expected), "{text:?}\n told {told:?}\n not  {expected:?}");
    }
}

#[test]
fn a_mistake_in_the_environment_or_in_a_flag_names_its_source() {
    let unknown =
        Sources { env: vec![variable("PALISADE_SERVER_LISTN", "x")], ..Sources::default() };
    assert_eq!(
        refused(unknown),
        "environment variable PALISADE_SERVER_LISTN does not name a setting: \
         did you mean PALISADE_SERVER_LISTEN?"
    );
    let wrong =
        Sources { env: vec![variable("PALISADE_LIMITS_BODY_BYTES", "many")], ..Sources::default() };
    assert!(refused(wrong).starts_with(
        "setting limits.body_bytes (environment variable PALISADE_LIMITS_BODY_BYTES) must be"
    ));
    assert!(refused(Sources::only([("log.colour", "red")])).contains("log.colour (command line)"));
}

#[test]
fn documented_other_variables_are_no_mistake() {
    let env = OTHER_VARIABLES.iter().skip(1).map(|(name, _)| variable(name, "x")).collect();
    assert!(Config::load(Sources { env, ..Sources::default() }).is_ok());
}

#[test]
fn settings_that_go_together_are_all_there_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let private = secret_file(&dir, "a key", 0o600);
    let file = private.to_str().unwrap();
    let postgres = [("storage.postgres.cert_file", file), ("storage.postgres.key_file", file)];
    let cluster = [
        ("bus.cluster.name", "n1"),
        ("bus.cluster.listen", "127.0.0.1:6222"),
        ("bus.cluster.peers", "127.0.0.2:6222,127.0.0.3:6222"),
        ("bus.cluster.certificate", file),
        ("bus.cluster.key", file),
        ("bus.cluster.authority", file),
    ];
    for group in [&postgres[..], &cluster[..]] {
        let whole = Config::load(Sources::only(group.iter().copied())).unwrap();
        assert_eq!(whole.bus_cluster.peers.len(), if group.len() == 2 { 0 } else { 2 });
        for (missing, _) in group {
            let rest = group.iter().copied().filter(|(key, _)| key != missing);
            let told = refused(Sources::only(rest));
            assert!(
                told.starts_with(&format!("setting {missing} (default) must be set")),
                "{told}"
            );
        }
    }
    let exposed = secret_file(&dir, "a key", 0o644);
    for group in [&postgres[..], &cluster[..]] {
        let told = refused(Sources::only(group.iter().copied()));
        assert!(told.contains("key") && told.contains("which others may read"), "{told}");
    }
    fs::remove_file(exposed).unwrap();
    for group in [&postgres[..], &cluster[..]] {
        let told = refused(Sources::only(group.iter().copied()));
        assert!(told.contains("which cannot be read"), "{told}");
    }
}

#[test]
fn lists_are_separated_by_commas_outside_of_the_file() {
    let config =
        Config::load(Sources::only([("server.trusted_proxies", "10.0.0.0/8, 2001:db8::1")]))
            .unwrap();
    let [v4, v6] = &*config.server.trusted_proxies else { panic!("two networks") };
    assert!(v4.contains("10.255.0.1".parse().unwrap()));
    assert!(v4.contains("::ffff:10.255.0.1".parse().unwrap()));
    assert!(!v4.contains("11.0.0.1".parse().unwrap()));
    assert!(v6.contains("2001:db8::1".parse().unwrap()));
    assert!(!v6.contains("2001:db8::2".parse().unwrap()));
}

#[test]
fn a_password_in_the_database_url_is_refused_and_not_repeated() {
    for url in [
        "postgresql://palisade:hunter2@db/palisade",
        "postgresql://palisade@db/palisade?password=hunter2",
        "postgresql://palisade@db/palisade?sslmode=require&PASSWORD=hunter2",
        "mysql://palisade:hunter2@db/palisade",
    ] {
        let told = refused(Sources::only([("storage.postgres.url", url)]));
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn only_a_database_on_this_machine_needs_no_ca() {
    let local = |url: &str| {
        let sources = Sources::only([("storage.postgres.url", url)]);
        Config::load(sources).expect("settings").postgres.url.expect("a URL").is_local()
    };
    for here in [
        "postgresql://palisade@127.0.0.1:5432/palisade",
        "postgresql://palisade@[::1]:5432/palisade",
        "postgresql://palisade@localhost/palisade",
        "postgresql://palisade@%2Frun%2Fpostgresql:5432/palisade",
        "postgresql://palisade@db.example.com/palisade?host=/run/postgresql",
    ] {
        assert!(local(here), "{here}");
    }
    for elsewhere in [
        "postgresql://palisade@db.example.com/palisade",
        "postgresql://palisade@192.0.2.7:5432/palisade",
        "postgresql://palisade@[2001:db8::1]/palisade",
        "postgresql://palisade@127.0.0.1/palisade?host=db.example.com",
    ] {
        assert!(!local(elsewhere), "{elsewhere}");
    }
}

#[test]
fn a_line_that_is_not_toml_is_not_repeated() {
    let (_dir, sources) = with_file("[storage.postgres]\nurl = postgresql://p:hunter2@db\n");
    assert!(!refused(sources).contains("hunter2"));
}

#[test]
fn a_secret_file_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o644, 0o604, 0o602, 0o620, 0o777] {
        let path = secret_file(&dir, "hunter2", mode);
        let told = refused(Sources::only([("keystore.passphrase_file", path.to_str().unwrap())]));
        assert!(
            told.starts_with("setting keystore.passphrase_file (command line) names ")
                && told.contains("which others may read or change"),
            "{mode:o}: {told}"
        );
        assert!(!told.contains("hunter2"));
        assert!(SecretFile::new(&path).read().is_err(), "{mode:o} was read");
    }
    let path = secret_file(&dir, "hunter2\n", 0o640);
    let config =
        Config::load(Sources::only([("keystore.passphrase_file", path.to_str().unwrap())]))
            .unwrap();
    let secret = config.keystore.passphrase_file.unwrap().read().unwrap();
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn a_secret_file_that_is_missing_empty_or_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let told = refused(Sources::only([("keystore.passphrase_file", absent.to_str().unwrap())]));
    assert!(told.ends_with("which does not exist"), "{told}");
    assert!(SecretFile::new(dir.path()).read_bytes().is_err());
    assert!(SecretFile::new(secret_file(&dir, "\n", 0o600)).read().is_err());
    assert!(SecretFile::new(secret_file(&dir, &"x".repeat(65 * 1024), 0o600)).read().is_err());
    // The seal key is made at the first start, so it may be absent here.
    let later = Sources::only([("keystore.seal_key_file", absent.to_str().unwrap())]);
    assert!(Config::load(later).is_ok());
}

#[test]
fn an_empty_variable_undoes_an_optional_setting_of_the_file() {
    let (_dir, mut sources) =
        with_file("[storage.postgres]\nurl = 'postgresql://palisade@db/palisade'\n");
    sources.env = vec![variable("PALISADE_STORAGE_POSTGRES_URL", "")];
    assert_eq!(Config::load(sources).unwrap().postgres.url, None);
}

#[test]
fn a_port_of_443_does_not_appear_in_links() {
    let origin = |settings: &[(&str, &str)]| {
        Config::load(Sources::only(settings.iter().copied())).unwrap().server.origin()
    };
    assert_eq!(
        origin(&[("server.fqdn", "Palisade.Example.com"), ("server.public_port", "443")]),
        "https://palisade.example.com"
    );
    assert_eq!(origin(&[("server.fqdn", "2001:db8::1")]), "https://[2001:db8::1]:8443");
}

#[test]
fn host_names_are_dns_names_or_addresses() {
    for name in ["localhost", "a.b-c.example", "10.0.0.1", "::1", "xn--bcher-kva.example"] {
        assert!(name.parse::<HostName>().is_ok(), "{name} was refused");
    }
    for name in ["", ".", "a..b", "-a.test", "a-.test", "a b", "a_b", "bücher.test", "1.2.3", "a:1"]
    {
        assert!(name.parse::<HostName>().is_err(), "{name:?} was accepted");
    }
}

#[test]
fn the_sample_names_every_setting_and_reading_it_changes_nothing() {
    let (_dir, sources) = with_file(&sample());
    let read = Config::load(sources).unwrap();
    assert!(
        read.effective()
            .iter()
            .all(|setting| { matches!(setting.origin, Origin::Default | Origin::Derived(_)) })
    );
    // With every line in effect it is still valid, and complete.
    let uncommented: String = sample()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|first: char| first.is_ascii_lowercase()) => {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let mut layers = Layers::default();
    let (_dir, sources) = with_file(&uncommented);
    layers.add_file(&sources.file.unwrap()).unwrap();
    for setting in Setting::all() {
        let (_, name) = setting.split();
        assert!(uncommented.contains(&format!("\n{name} = ")), "{} is missing", setting.key);
        assert!(!setting.doc.is_empty());
    }
    insta::assert_snapshot!("sample", sample());
}

#[test]
fn every_setting_has_its_own_variable() {
    let mut variables: Vec<_> = Setting::all().map(Setting::variable).collect();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!(variables.len(), Setting::all().count());
    assert!(OTHER_VARIABLES.iter().all(|(name, _)| !variables.iter().any(|v| v == name)));
}
