//! The copy is made once, whole, and put back whole.

use std::{
    collections::BTreeMap,
    os::unix::fs::{PermissionsExt, chown},
    sync::Arc,
};

use super::*;
use crate::{
    app::{App, Offline, Parts},
    clock::{SystemClock, SystemRandom},
    config::Sources,
    small_disk,
};

struct Given {
    place: tempfile::TempDir,
}

impl Given {
    async fn installed() -> Self {
        let given = Self { place: tempfile::tempdir().expect("a directory") };
        given.start().await.expect("it starts").stop().await;
        given
    }

    fn data(&self) -> PathBuf {
        self.place.path().join("var")
    }

    fn config(&self) -> Config {
        let data = self.data().display().to_string();
        let settings = [("storage.data_dir", data.as_str()), ("bus.mode", "off")];
        Config::load(Sources::only(settings)).expect("valid settings")
    }

    async fn start(&self) -> Result<App> {
        App::start(Parts {
            config: self.config(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            metrics: None,
        })
        .await
    }

    async fn statement(&self, sql: &str) {
        let path = data_dir::database(&self.data());
        let store = Store::open(&store::StoreSettings::Sqlite { path }).await.expect("open");
        let mut tx = store.begin().await.expect("begin");
        tx.execute(sql, ()).await.expect("a statement");
        tx.commit().await.expect("commit");
        store.close().await;
    }

    /// As if an older version had been the last to run.
    async fn ran(&self, version: &str) {
        self.statement(&format!("UPDATE data_format SET version = '{version}'")).await;
    }

    async fn name_of_the_system(&self, database: &Path) -> String {
        let settings = store::StoreSettings::Sqlite { path: database.to_owned() };
        let store = Store::open(&settings).await.expect("open");
        let mut tx = store.read().await.expect("read");
        let name = tx.fetch_one("SELECT name FROM tenant WHERE slug = 'system'", ()).await;
        drop(tx);
        store.close().await;
        name.expect("the system scope")
    }

    fn copy(&self) -> PathBuf {
        self.data().join("before-update").join(Version::own().to_string())
    }
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("a file"))
    });
    entries.collect()
}

#[tokio::test]
async fn a_new_installation_and_another_start_of_the_same_version_copy_nothing() {
    let given = Given::installed().await;
    given.start().await.expect("it starts").stop().await;
    assert!(!given.data().join("before-update").exists());
}

#[tokio::test]
async fn the_first_start_of_a_newer_version_copies_everything_once() {
    let given = Given::installed().await;
    let keys = files(&given.data().join("keys"));
    given.ran("0.0.9").await;
    given.start().await.expect("it starts").stop().await;
    let copy = given.copy();
    assert_eq!(given.name_of_the_system(&copy.join("palisade.db")).await, "System");
    assert_eq!(files(&copy.join("keys")), keys);
    let about = &copies(&given.config()).expect("copies")[0];
    assert_eq!(about.from, Some("0.0.9".parse().expect("a version")));
    for (path, mode) in
        [("", 0o700), ("keys", 0o700), ("palisade.db", 0o600), ("about.json", 0o600)]
    {
        let found = fs::metadata(copy.join(path)).expect("there").permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
    // The second start of the same version finds it done.
    given.statement("UPDATE tenant SET name = 'Later' WHERE slug = 'system'").await;
    given.start().await.expect("it starts").stop().await;
    assert_eq!(given.name_of_the_system(&copy.join("palisade.db")).await, "System");
}

#[tokio::test]
async fn what_a_version_has_damaged_is_put_back_whole() {
    let given = Given::installed().await;
    let keys = files(&given.data().join("keys"));
    given.ran("0.0.9").await;
    given.start().await.expect("it starts").stop().await;
    given.statement("UPDATE tenant SET name = 'Damaged' WHERE slug = 'system'").await;
    fs::write(given.data().join("keys/keystore.json"), "damaged").expect("written");
    given.start().await.expect_err("the keystore is damaged");

    let offline = Offline::new(given.config(), None).expect("nobody uses it");
    let about = offline.restore_before_update(None).await.expect("restored");
    assert_eq!(about.version, Version::own());
    drop(offline);
    assert_eq!(given.name_of_the_system(&data_dir::database(&given.data())).await, "System");
    assert_eq!(files(&given.data().join("keys")), keys);
    let aside = given.data().join("replaced");
    assert_eq!(given.name_of_the_system(&aside.join("palisade.db")).await, "Damaged");
    let old = fs::read(given.data().join("keys.replaced/keystore.json")).expect("put aside");
    assert_eq!(old, b"damaged");
    given.start().await.expect("it starts again").stop().await;
}

#[tokio::test]
async fn a_restore_that_was_cut_off_keeps_everybody_out_and_can_be_repeated() {
    let given = Given::installed().await;
    given.ran("0.0.9").await;
    given.start().await.expect("it starts").stop().await;
    given.statement("UPDATE tenant SET name = 'Damaged' WHERE slug = 'system'").await;
    // Cut after the database was put aside and before another was there.
    fs::create_dir(given.data().join("replaced")).expect("made");
    fs::rename(given.data().join("palisade.db"), given.data().join("replaced/palisade.db"))
        .expect("moved");
    fs::write(given.data().join("restoring"), "").expect("written");
    assert_eq!(given.start().await.expect_err("refused").code(), "restore-incomplete");
    assert!(!given.data().join("palisade.db").exists(), "no new database in its place");

    restore(&given.config(), None).expect("restored");
    given.start().await.expect("it starts").stop().await;
    assert_eq!(given.name_of_the_system(&data_dir::database(&given.data())).await, "System");
    let aside = given.data().join("replaced/palisade.db");
    assert_eq!(given.name_of_the_system(&aside).await, "Damaged");
}

/// Everything below a directory, and itself.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("readable") {
            found.extend(below(&entry.expect("an entry").path()));
        }
    }
    found
}

#[tokio::test]
async fn what_root_puts_back_belongs_to_the_owner_of_the_data_directory() {
    let given = Given::installed().await;
    for path in below(&given.data()) {
        if chown(&path, Some(12_345), Some(12_345)).is_err() {
            return; // Only root can give anything away.
        }
    }
    given.ran("0.0.9").await;
    given.start().await.expect("it starts").stop().await;
    for path in below(&given.copy()) {
        assert_eq!(fs::metadata(&path).expect("there").uid(), 12_345, "{}", path.display());
    }
    restore(&given.config(), None).expect("restored");
    let data = given.data();
    for path in ["palisade.db", "keys", "replaced", "keys.replaced"] {
        for path in below(&data.join(path)) {
            assert_eq!(fs::metadata(&path).expect("there").uid(), 12_345, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn old_copies_do_not_replace_the_keystore_beside_a_postgres_database() {
    let given = Given::installed().await;
    given.ran("0.0.9").await;
    given.start().await.expect("it starts").stop().await;
    let before = files(&given.data().join("keys"));
    let mut config = given.config();
    config.storage.database = Database::Postgres;
    assert_eq!(restore(&config, None).expect_err("refused").code(), "no-copy-of-postgres");
    assert_eq!(files(&given.data().join("keys")), before);
    assert!(!given.data().join("restoring").exists());
}

/// Runs in a process of its own, which has mounted a file system for the keys.
#[tokio::test]
async fn keys_on_another_file_system() {
    let Some(folder) = small_disk::place() else { return };
    let given = Given { place: tempfile::tempdir().expect("a directory") };
    let start = async |dir: PathBuf| {
        let mut config = given.config();
        config.keystore.dir = dir;
        let parts = Parts {
            config: config.clone(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            metrics: None,
        };
        App::start(parts).await.expect("it starts").stop().await;
        config
    };
    let keys = folder.join("keys");
    start(keys.clone()).await;
    let before = files(&keys);
    given.ran("0.0.9").await;
    let mut config = start(keys.clone()).await;
    fs::write(keys.join("keystore.json"), "damaged").expect("written");
    restore(&config, None).expect("restored");
    assert_eq!(files(&keys), before);
    assert!(keys.with_added_extension("replaced").is_dir());

    // As a mount point it cannot be exchanged; that is said before anything is moved.
    config.keystore.dir = folder;
    assert_eq!(restore(&config, None).expect_err("refused").code(), "keystore-mounted");
    assert!(!given.data().join("restoring").exists());
    assert!(given.data().join("palisade.db").exists());
}

#[test]
fn keys_on_another_file_system_are_put_back_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("disk");
    fs::create_dir(&keys).expect("made");
    small_disk::passes(
        "app::before_update::tests::keys_on_another_file_system",
        &keys,
        "size=8m,mode=700",
    );
}

#[tokio::test]
async fn a_command_while_nothing_runs_keeps_the_way_back_as_a_start_does() {
    let given = Given::installed().await;
    let keys = files(&given.data().join("keys"));
    given.ran("0.0.9").await;
    let offline = Offline::new(given.config(), None).expect("nobody uses it");
    offline.new_recovery_kit().await.expect("another kit");
    drop(offline);
    assert_eq!(files(&given.copy().join("keys")), keys, "the keys of before the command");
    assert_eq!(given.name_of_the_system(&given.copy().join("palisade.db")).await, "System");
    let about = &copies(&given.config()).expect("copies")[0];
    assert_eq!(about.from, Some("0.0.9".parse().expect("a version")));
}

#[tokio::test]
async fn no_command_works_on_data_of_which_a_part_was_put_back() {
    let given = Given::installed().await;
    let before = files(&given.data().join("keys"));
    fs::write(given.data().join("restoring"), "").expect("written");
    let offline = Offline::new(given.config(), None).expect("nobody uses it");
    let refused = offline.new_recovery_kit().await.expect_err("refused");
    assert_eq!(refused.code(), "restore-incomplete");
    let refused = offline.renew_certificate().await.expect_err("refused");
    assert_eq!(refused.code(), "restore-incomplete");
    assert_eq!(files(&given.data().join("keys")), before);
}

#[tokio::test]
async fn without_a_copy_there_is_nothing_to_put_back() {
    let given = Given::installed().await;
    assert_eq!(restore(&given.config(), None).expect_err("refused").code(), "no-copy");
    // One that was not completed does not count.
    let half = given.data().join("before-update/0.2.0.new");
    fs::create_dir_all(&half).expect("made");
    let about = BeforeUpdate {
        version: "0.2.0".parse().expect("a version"),
        from: None,
        at: Timestamp::from_seconds(1),
    };
    fs::write(half.join("about.json"), serde_json::to_vec(&about).expect("text")).expect("written");
    assert_eq!(restore(&given.config(), None).expect_err("refused").code(), "no-copy");
}

#[tokio::test]
async fn the_copies_of_the_last_two_updates_are_kept() {
    let given = Given::installed().await;
    for (at, name) in [(1, "0.0.7"), (2, "0.0.8")] {
        let copy = given.data().join("before-update").join(name);
        fs::create_dir_all(&copy).expect("made");
        let about = BeforeUpdate {
            version: name.parse().expect("a version"),
            from: None,
            at: Timestamp::from_seconds(at),
        };
        fs::write(copy.join("about.json"), serde_json::to_vec(&about).expect("text"))
            .expect("written");
    }
    given.ran("0.0.8").await;
    given.start().await.expect("it starts").stop().await;
    let versions: Vec<_> = copies(&given.config())
        .expect("copies")
        .into_iter()
        .map(|about| about.version.to_string())
        .collect();
    assert_eq!(versions, [Version::own().to_string(), "0.0.8".to_owned()]);
}

/// Runs in a process of its own, whose folder is a small file system.
#[tokio::test]
async fn an_update_on_a_tiny_disk() {
    let Some(folder) = small_disk::place() else { return };
    let given = Given { place: tempfile::tempdir_in(folder).expect("a directory") };
    given.start().await.expect("it starts").stop().await;
    given.ran("0.0.9").await;
    // No room for another copy of the database.
    let ballast = given.place.path().join("ballast");
    let mut file = File::create(&ballast).expect("made");
    while file.write_all(&[0; 4096]).is_ok() {}
    file.set_len(file.metadata().expect("its length").len().saturating_sub(64 * 1024))
        .expect("shortened");
    // What is open still takes its room when it has no name any more.
    drop(file);

    let refused = given.start().await.expect_err("the disk is full");
    assert_eq!((refused.kind(), refused.code()), (Kind::StorageFull, "storage-full"));
    assert!(!given.copy().exists() && !given.copy().with_added_extension("new").exists());
    fs::remove_file(&ballast).expect("removed");
    let database = data_dir::database(&given.data());
    let settings = store::StoreSettings::Sqlite { path: database };
    let store = Store::open(&settings).await.expect("open");
    let found = store.data_format().await.expect("read").expect("there");
    assert_eq!(found.version.to_string(), "0.0.9", "nothing was changed");
    store.close().await;
    given.start().await.expect("there is room again").stop().await;
    assert!(given.copy().join("about.json").exists());
}

#[test]
fn a_full_disk_refuses_the_start_and_leaves_the_data_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    small_disk::passes(
        "app::before_update::tests::an_update_on_a_tiny_disk",
        folder.path(),
        "size=64m",
    );
}
