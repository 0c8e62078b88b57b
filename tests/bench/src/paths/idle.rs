//! Memory and processor time of an appliance that nobody uses, its broker
//! included, beside the programs that it stands in for.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::Size;
use crate::{
    appliance::{Appliance, Settings},
    measure::{Samples, cpu, memory},
    peers::{By, Certificate, registry},
    table::{Goal, Row},
};

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let appliance = Appliance::new(Settings::new()?).await?;
    let certificate = Certificate::new(appliance.folder())?;
    let by = By { folder: appliance.folder(), certificate: &certificate };
    let (nginx, (nats, _), (registry, _)) =
        (by.nginx().await?, by.nats().await?, registry(appliance.folder())?);
    let ours = appliance.processes()?;
    let mut theirs = nginx.server.processes()?;
    theirs.extend([nats.id(), registry.id()]);
    sleep(Duration::from_secs(size.of(20) as u64)).await;

    let (mut our_memory, mut their_memory) = (Samples::default(), Samples::default());
    let (mut our_share, mut their_share) = (Samples::default(), Samples::default());
    for _ in 0..size.rounds {
        let (begun, before) = (Instant::now(), (cpu(&ours)?, cpu(&theirs)?));
        sleep(Duration::from_secs(4)).await;
        let of_a_core = 1e3 / begun.elapsed().as_secs_f64();
        our_share.push((cpu(&ours)?.saturating_sub(before.0)).as_secs_f64() * of_a_core);
        their_share.push((cpu(&theirs)?.saturating_sub(before.1)).as_secs_f64() * of_a_core);
        our_memory.push(memory(&ours, "VmRSS")? as f64 / 1024.0);
        their_memory.push(memory(&theirs, "VmRSS")? as f64 / 1024.0);
    }
    let serve = Samples::from_iter([memory(&ours[..1], "VmRSS")? as f64 / 1024.0]);
    let path = "idle memory, serve and broker";
    let peer = "nginx + nats-server + docker-registry";
    Ok(vec![
        Row::beside(path, "MiB RSS", &our_memory, peer, &their_memory, Goal::AtMost(1.0)),
        Row::alone(path, "MiB RSS", &our_memory, Some(Goal::AtMost(60.0))),
        Row::alone("idle memory, serve alone", "MiB RSS", &serve, None),
        Row::beside("idle processor time", "ms per second", &our_share, peer, &their_share, None),
    ])
}
