//! Logging in, beside the hash that it cannot do without; and reading while
//! others log in as fast as they can.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::{
    sync::{Mutex, mpsc},
    time::{MissedTickBehavior, interval},
};

use super::Size;
use crate::{
    appliance::{Appliance, PASSWORD, Settings},
    http::{Connection, Target, request},
    load::Pool,
    measure::{Samples, micros_each, own_cpu},
    table::{Goal, Row},
};

/// Logins that are asked for each second.
const FLOOD: u64 = 200;
/// More than may wait at the appliance, so that the flood does not wait for its answers.
const FLOOD_CONNECTIONS: usize = 300;
const READS: u64 = 200;

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let appliance = Appliance::new(Settings::new()?.with("bus.mode", "off")).await?;
    let login = request("POST", "/v1/auth/login", None, Some(&Appliance::credentials()));
    let processes = appliance.processes()?;
    // One at a time: hashes at the same time wait for memory, and only ours would.
    let mut pool = Pool::open(&appliance.target, 1).await?;
    pool.cost(&processes, 3, &login).await?;
    hash(2)?;
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    for _ in 0..size.rounds {
        ours.push(pool.cost(&processes, size.of(40), &login).await? / 1e3);
        bare.push(hash(size.of(40))? / 1e3);
    }
    let mut rows =
        vec![Row::beside("login", "ms CPU", &ours, "argon2id alone", &bare, Goal::AtMost(1.2))];

    let token = appliance.token().await?;
    let read = request("GET", "/v1/projects", Some(&token), None);
    let (mut quiet, mut flooded) = (Samples::default(), Samples::default());
    let (mut asked, mut answered) = (0, 0);
    for _ in 0..size.rounds {
        let seconds = Duration::from_secs(size.of(5) as u64);
        quiet.push(reads(&appliance.target, &read, seconds).await?.quantile(0.99));
        let flood = Flood::start(&appliance.target, &login).await?;
        flooded.push(reads(&appliance.target, &read, seconds).await?.quantile(0.99));
        let (more_asked, more_answered) = flood.stop().await;
        asked += more_asked;
        answered += more_answered;
    }
    ensure!(asked > 0, "there was no flood");
    let share = answered * 100 / asked;
    rows.push(Row::beside(
        format!("GET p99 while 200 logins/s are asked for ({share} % answered)"),
        "ms",
        &flooded,
        "without the logins",
        &quiet,
        Goal::AtMost(2.0),
    ));
    Ok(rows)
}

/// Microseconds of processor time of the bare hash with the product's settings.
fn hash(times: usize) -> Result<f64> {
    let before = own_cpu()?;
    for number in 0..times {
        let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(anyhow::Error::msg)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (salt, mut output) = (number.to_le_bytes().repeat(2), [0; 32]);
        let hashed = argon2.hash_password_into(PASSWORD.as_bytes(), &salt, &mut output);
        hashed.map_err(anyhow::Error::msg)?;
        std::hint::black_box(output);
    }
    Ok(micros_each(own_cpu()?.saturating_sub(before), times))
}

/// Milliseconds of reads that begin at fixed times, whether or not the ones
/// before have been answered.
async fn reads(target: &Target, read: &[u8], time: Duration) -> Result<Samples> {
    let (back, mut idle) = mpsc::unbounded_channel::<Connection>();
    for _ in 0..32 {
        let _ = back.send(target.connect().await?);
    }
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let mut every = interval(Duration::from_millis(1_000 / READS));
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        // The time counts from when it should have begun.
        let due = every.tick().await.into_std();
        let Some(mut connection) = idle.recv().await else { break };
        let (back, latencies, read) = (back.clone(), Arc::clone(&latencies), read.to_owned());
        tasks.spawn(async move {
            let answer = connection.call(&read).await?;
            latencies.lock().await.push(due.elapsed().as_secs_f64() * 1e3);
            let _ = back.send(connection);
            ensure!(answer.status == 200, "a read was answered with status {}", answer.status);
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let latencies = latencies.lock().await;
    Ok(latencies.iter().copied().collect())
}

/// Logins that are asked for again and again.
struct Flood {
    task: tokio::task::JoinHandle<()>,
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

impl Flood {
    async fn start(target: &Target, login: &[u8]) -> Result<Self> {
        let (back, mut idle) = mpsc::unbounded_channel::<Connection>();
        for _ in 0..FLOOD_CONNECTIONS {
            let _ = back.send(target.connect().await?);
        }
        let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, good, login) = (Arc::clone(&asked), Arc::clone(&answered), login.to_owned());
        let task = tokio::spawn(async move {
            let mut every = interval(Duration::from_millis(1_000 / FLOOD));
            loop {
                every.tick().await;
                let Some(mut connection) = idle.recv().await else { return };
                let (back, login, good) = (back.clone(), login.clone(), Arc::clone(&good));
                count.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    // 503 is a proper answer to more than can be hashed.
                    let Ok(answer) = connection.call(&login).await else { return };
                    if answer.status == 200 {
                        good.fetch_add(1, Relaxed);
                    }
                    let _ = back.send(connection);
                });
            }
        });
        Ok(Self { task, asked, answered })
    }

    /// How many logins were asked for, and how many succeeded.
    async fn stop(self) -> (usize, usize) {
        self.task.abort();
        let _ = self.task.await;
        // What waits at the appliance is answered or given up within its two seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        (self.asked.load(Relaxed), self.answered.load(Relaxed))
    }
}
