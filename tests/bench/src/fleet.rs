//! A fleet of simulated clusters for some minutes: was every heartbeat heard,
//! did lists stay fast, and what did it take.
//!
//! The agents are `palisade simulate`, which speaks the real protocol through
//! the real tunnel and broker. That no heartbeat was missed is shown twice:
//! management has counted as many as the agents have sent, and at no look was
//! the last heartbeat of any cluster older than one interval and a second.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use palisade::clock::{Clock, SystemClock, Timestamp};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    appliance::{Appliance, Settings, binary},
    block_on,
    http::{Connection, request},
    measure::{Samples, cpu, load_average, memory},
    process::Server,
    table::{Goal, Row, Table},
};

/// Between two heartbeats of an agent, and what may pass before one counts as missed.
const INTERVAL: f64 = 10.0;
const TOO_LATE: f64 = INTERVAL + 1.0;
/// How often every cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a list is asked for.
const LIST_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// How long, once every cluster is healthy.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// How many clusters.
    #[arg(long, default_value_t = 1_000)]
    clusters: usize,
}

pub(crate) fn run(args: &FleetArgs) -> Result<ExitCode> {
    block_on(async {
        let table = measure(args).await?;
        println!("{table}");
        let met = table.0.iter().all(Row::meets);
        Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// What was seen while the fleet ran.
#[derive(Default)]
struct Seen {
    first_pages: Samples,
    filtered: Samples,
    fewest_healthy: Option<u64>,
    /// Of all clusters at all looks, the age of the last heartbeat in seconds.
    oldest: f64,
    late: usize,
    looks: usize,
    memory: [Samples; 3],
}

async fn measure(args: &FleetArgs) -> Result<Table> {
    let load = load_average()?;
    let appliance = Appliance::new(Settings::new()?).await?;
    let key = appliance.api_key().await?;
    let output = appliance.folder().path().join("simulate.log");
    let mut simulation = simulate(&appliance, &key, args.clusters, &output)?;
    let begun = Instant::now();
    until_all_healthy(&appliance, &key, args.clusters, &mut simulation).await?;
    eprintln!("{} clusters were healthy after {:.0?}", args.clusters, begun.elapsed());

    let processes = appliance.processes()?;
    let [serve, broker] = processes[..] else { anyhow::bail!("expected serve and its broker") };
    let actors = [serve, broker, simulation.id()];
    let used = |actor: u32| cpu(&[actor]);
    let before = actors.map(used).into_iter().collect::<Result<Vec<_>>>()?;
    let heard_before = appliance.metric("palisade_heartbeats_total").await?;
    let began = Instant::now();
    let time = Duration::from_secs(args.minutes * 60);
    let seen = watch(&appliance, &key, args.clusters, time, actors, &mut simulation).await?;
    let took = began.elapsed().as_secs_f64();
    let heard = appliance.metric("palisade_heartbeats_total").await? - heard_before;
    let after = actors.map(used).into_iter().collect::<Result<Vec<_>>>()?;
    let shares = after.iter().zip(&before).map(|(after, before)| {
        Samples::from_iter([after.saturating_sub(*before).as_secs_f64() / took * 100.0])
    });
    let shares: Vec<_> = shares.collect();

    drop(simulation); // it says at its end what it has sent
    sleep(Duration::from_secs(2)).await;
    let said = fs::read_to_string(&output)?;
    let sent = number_before(&said, " sent").context("no count of heartbeats")?;
    let failed = number_before(&said, " failed").context("no count of failures")?;
    let reconnects = number_before(&said, " reconnects").context("no count of reconnects")?;
    let taken = appliance.metric("palisade_heartbeats_total").await?;
    let bad = appliance.metric("palisade_agent_messages_bad_total").await.unwrap_or(0.0);

    let none = Some(Goal::AtMost(0.0));
    let one = |value: f64| Samples::from_iter([value]);
    let value = |what: &str, unit, value: f64, goal| Row::alone(what, unit, &one(value), goal);
    let expected = args.clusters as f64 * (took / INTERVAL).floor();
    let mut rows = vec![
        value("clusters", "in all", args.clusters as f64, None),
        value("watched", "minutes", took / 60.0, None),
        value("heartbeats sent by the agents", "in all", sent, None),
        value("heartbeats not heard by management", "of these", sent - taken, none),
        value("heartbeats due without a connection", "in all", failed, none),
        value("heartbeats fewer than expected", "while watched", (expected - heard).max(0.0), none),
        value("connections lost", "in all", reconnects, none),
        value("messages dropped", "in all", bad, none),
        value(
            &format!("clusters with a late heartbeat, {} looks at each", seen.looks),
            "in all",
            seen.late as f64,
            none,
        ),
        value("oldest last heartbeat", "s", seen.oldest, Some(Goal::AtMost(TOO_LATE))),
        value(
            "clusters that were not healthy at some time",
            "at the most",
            args.clusters as f64 - seen.fewest_healthy.unwrap_or(0) as f64,
            none,
        ),
    ];
    let fast = Some(Goal::AtMost(100.0));
    for (what, latencies) in
        [("first page", &seen.first_pages), ("page of the healthy ones", &seen.filtered)]
    {
        rows.push(value(&format!("{what}, p95"), "ms", latencies.quantile(0.95), fast));
        rows.push(value(&format!("{what}, slowest"), "ms", latencies.most(), None));
    }
    for (number, name) in ["serve", "nats-server", "simulate"].iter().enumerate() {
        rows.push(Row::alone(format!("memory of {name}"), "MiB RSS", &seen.memory[number], None));
        rows.push(Row::alone(format!("processor of {name}"), "% of a core", &shares[number], None));
    }
    let during = one(load_average()?.parse()?);
    rows.push(value("load average before", "", load.parse()?, None));
    rows.push(Row::alone("load average at the end", "", &during, None));
    Ok(Table(rows))
}

fn simulate(appliance: &Appliance, key: &str, clusters: usize, output: &Path) -> Result<Server> {
    let mut command = Command::new(binary());
    command.arg("simulate").arg("--url").arg(appliance.url());
    command.arg("--ca").arg(appliance.ca_file()).env("PALISADE_TOKEN", key);
    command.arg("--clusters").arg(clusters.to_string()).args(["--degraded-percent", "0"]);
    Server::start(command, output.to_owned())
}

async fn until_all_healthy(
    appliance: &Appliance,
    key: &str,
    clusters: usize,
    simulation: &mut Server,
) -> Result<()> {
    let begun = Instant::now();
    let path = "/v1/clusters?phase=healthy&limit=1";
    loop {
        simulation.check()?;
        let page = appliance.call("GET", path, Some(key), None).await?;
        if page["total"].as_u64() == Some(clusters as u64) {
            return Ok(());
        }
        let patience = Duration::from_secs(120) + Duration::from_millis(clusters as u64 * 60);
        ensure!(begun.elapsed() < patience, "only {} clusters are healthy", page["total"]);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Asks for lists five times a second, and looks at every cluster now and then.
async fn watch(
    appliance: &Appliance,
    key: &str,
    clusters: usize,
    time: Duration,
    actors: [u32; 3],
    simulation: &mut Server,
) -> Result<Seen> {
    let first = request("GET", "/v1/clusters?limit=50", Some(key), None);
    let healthy = "/v1/clusters?limit=50&phase=healthy&q=simulated&sort=name";
    let healthy = request("GET", healthy, Some(key), None);
    let mut connection = appliance.target.connect().await?;
    let mut seen = Seen::default();
    let mut every = interval(LIST_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (begun, mut looked) = (Instant::now(), Instant::now());
    let mut number = 0_u64;
    while begun.elapsed() < time {
        every.tick().await;
        let is_first = number.is_multiple_of(2);
        let sent = Instant::now();
        let answer = connection.call(if is_first { &first } else { &healthy }).await?;
        let took = sent.elapsed().as_secs_f64() * 1e3;
        let page = answer.json()?;
        if is_first {
            seen.first_pages.push(took);
        } else {
            seen.filtered.push(took);
            let healthy = page["total"].as_u64().context("no total")?;
            seen.fewest_healthy = Some(seen.fewest_healthy.unwrap_or(healthy).min(healthy));
        }
        number += 1;
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            simulation.check()?;
            look(&mut connection, key, clusters, &mut seen).await?;
            for (samples, actor) in seen.memory.iter_mut().zip(actors) {
                samples.push(memory(&[actor], "VmRSS")? as f64 / 1024.0);
            }
        }
    }
    Ok(seen)
}

/// How old the last heartbeat of every cluster is.
async fn look(
    connection: &mut Connection,
    key: &str,
    clusters: usize,
    seen: &mut Seen,
) -> Result<()> {
    let mut cursor = String::new();
    let mut looked_at = 0;
    loop {
        let path = format!("/v1/clusters?limit=200{cursor}");
        let page = connection.call(&request("GET", &path, Some(key), None)).await?.json()?;
        let now = SystemClock.now();
        let items = page["items"].as_array().context("no items")?;
        for item in items {
            let ago = age(item, now)?;
            seen.oldest = seen.oldest.max(ago);
            seen.late += usize::from(ago > TOO_LATE);
        }
        looked_at += items.len();
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(looked_at == clusters, "{looked_at} clusters are listed");
    seen.looks += 1;
    Ok(())
}

fn age(item: &Value, now: Timestamp) -> Result<f64> {
    let heard = item["lastHeartbeatAt"].as_str().context("a cluster was never heard")?;
    Ok(now.since(heard.parse()?).as_secs_f64())
}

/// The number before a word in the last line that the simulation has printed.
fn number_before(said: &str, word: &str) -> Option<f64> {
    let line = said.lines().rev().find(|line| line.starts_with("end: "))?;
    let before = line.split(word).next()?;
    before.rsplit(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_read_from_the_end_of_the_simulation() {
        let said = "3 of 3 connected\nend: 3 of 3 connected, 3 enrolled; heartbeats 120 sent, \
                    2 failed; reports 7 acknowledged, 0 late; 1 reconnects\n";
        assert_eq!(number_before(said, " sent"), Some(120.0));
        assert_eq!(number_before(said, " failed"), Some(2.0));
        assert_eq!(number_before(said, " reconnects"), Some(1.0));
    }
}
