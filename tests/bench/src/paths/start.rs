//! From the start of the process to a good `/readyz`, with an installation that
//! holds next to nothing; beside `docker-registry` until `/v2/`.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::Size;
use crate::{
    appliance::{self, Settings},
    http::{Connection, request},
    measure::Samples,
    peers::registry,
    process::{Folder, Server},
    table::{Goal, Row},
};

/// How often we look.
const LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let (folder, settings) = (Folder::new()?, Settings::new()?);
    let (mut first, mut ours, mut theirs) =
        (Samples::default(), Samples::default(), Samples::default());
    first.push(serve(&settings, &folder).await?);
    registry_started(&folder).await?;
    for _ in 0..size.rounds * 2 {
        ours.push(serve(&settings, &folder).await?);
        theirs.push(registry_started(&folder).await?);
    }
    let path = "cold start to /readyz, broker included";
    Ok(vec![
        Row::beside(path, "ms", &ours, "docker-registry", &theirs, Goal::AtMost(1.5)),
        Row::alone(path, "ms", &ours, Some(Goal::AtMost(150.0))),
        Row::alone("very first start, which makes all keys", "ms", &first, None),
    ])
}

async fn serve(settings: &Settings, folder: &Folder) -> Result<f64> {
    let begun = Instant::now();
    let mut server = appliance::start(settings, folder.path())?;
    while appliance::try_ready(settings.listen, folder.path()).await.is_none() {
        look_again(begun, &mut server).await?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

async fn registry_started(folder: &Folder) -> Result<f64> {
    let begun = Instant::now();
    let (mut server, address) = registry(folder)?;
    loop {
        if let Ok(mut connection) = Connection::plain(address).await
            && let Ok(answer) = connection.call(&request("GET", "/v2/", None, None)).await
            && answer.status == 200
        {
            return Ok(begun.elapsed().as_secs_f64() * 1e3);
        }
        look_again(begun, &mut server).await?;
    }
}

async fn look_again(begun: Instant, server: &mut Server) -> Result<()> {
    server.check()?;
    ensure!(begun.elapsed() < PATIENCE, "a server does not become ready");
    sleep(LOOK).await;
    Ok(())
}
