//! A process that is killed for real, at random instants, loses nothing.
//!
//! `crash` proves each step in between; this shows that the steps are all
//! there are, with another process, a real SIGKILL and a real disk.

use std::{
    env,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::*;
use crate::clock::{SystemClock, random_bytes};

const HOME: &str = "PALISADE_TEST_KILL_HOME";
const ROUNDS: usize = 20;
const TENANT: TenantId = TenantId::SYSTEM;

/// The store of the killed process: one wrapped key in a file, replaced as a whole.
struct Store(PathBuf);

impl Store {
    fn write(&self, wrapped: &Wrapped) {
        let temporary = self.0.with_extension("tmp");
        let content = [wrapped.root.as_str().as_bytes(), b"\n", &wrapped.bytes].concat();
        fs::write(&temporary, content).expect("written");
        fs::rename(&temporary, &self.0).expect("renamed");
    }

    fn read(&self) -> Wrapped {
        let content = fs::read(&self.0).expect("a stored key");
        let end = content.iter().position(|&byte| byte == b'\n').expect("two parts");
        let root = std::str::from_utf8(&content[..end]).expect("text").parse().expect("a name");
        Wrapped { root, bytes: content[end + 1..].to_vec() }
    }
}

/// Ends the process when the test ends, however it does.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Rotates and reseals without end. It is run by the test below, in a process of its own.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the other process learns its part")]
fn the_victim_of_the_next_test() {
    let Some(home) = env::var_os(HOME).map(PathBuf::from) else {
        return;
    };
    let store = Store(home.join("store"));
    let keystore =
        Keystore::open(&home.join("keystore"), Unlock::Unattended).expect("opens after a kill");
    loop {
        keystore.begin_root_rotation(&SystemClock, &SystemRandom).expect("begun");
        let wrapped = keystore.rewrap(TENANT, 1, &store.read(), &SystemRandom).expect("rewrapped");
        store.write(&wrapped);
        keystore.finish_root_rotation(&SystemRandom).expect("finished");
        keystore.change_seal(SealMode::Unattended, &SystemRandom).expect("sealed anew");
        keystore.new_recovery_kit(&SystemClock, &SystemRandom).expect("a kit");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a plain thread waits for another process")]
fn a_killed_process_loses_no_key() {
    let fixture = Fixture::unattended();
    let store = Store(fixture.home.path().join("store"));
    let place = Place { table: "user", column: "email", row: "00ab12cd34ef" };
    let (key, wrapped) = fixture.keystore.new_tenant_key(TENANT, 1, &SystemRandom);
    let sealed = key.seal(place, b"a@example.com", &SystemRandom);
    store.write(&wrapped);

    for round in 0..ROUNDS {
        let generation = fixture.open().expect("opened").status().generation;
        let victim = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "keystore::tests::kill::the_victim_of_the_next_test"])
            .env(HOME, fixture.home.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("another process");
        let mut victim = Victim(victim);
        // It is at work once it has changed something; then it dies anywhere.
        while Keystore::inspect(&fs::read(fixture.dir().join("keystore.json")).expect("read"))
            .expect("whole at any moment")
            .generation
            == generation
        {
            assert!(victim.0.try_wait().expect("a status").is_none(), "round {round}: it failed");
            thread::sleep(Duration::from_millis(1));
        }
        let [low, high] = random_bytes(&SystemRandom);
        thread::sleep(Duration::from_micros(u64::from(u16::from_le_bytes([low, high])) / 2));
        drop(victim);

        let opened = fixture.open().expect("opens after a kill");
        let key = opened.unwrap_tenant_key(TENANT, 1, &store.read()).expect("a readable key");
        assert_eq!(key.open(place, &sealed).expect("readable data").expose(), b"a@example.com");
        assert!(opened.status().generation > generation);
    }
}
