//! `GET /v1/clusters/{uid}` with an access token: TLS, token, limits, rights,
//! database, JSON, metrics and log line.

use anyhow::Result;

use super::Size;
use crate::{
    appliance::{Appliance, Settings},
    http::request,
    load::Pool,
    measure::Samples,
    peers::{By, Certificate},
    table::{Goal, Row},
};

const CONNECTIONS: usize = 16;

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let appliance = Appliance::new(Settings::new()?.with("bus.mode", "off")).await?;
    let token = appliance.token().await?;
    let project = appliance.project(&token, "Factories").await?;
    let (cluster, _) = appliance.cluster(&token, &project, "plant-0001").await?;
    let certificate = Certificate::new(appliance.folder())?;
    let by = By { folder: appliance.folder(), certificate: &certificate };
    let (hello, nginx) = (by.hello().await?, by.nginx().await?);
    let (node, node_token) = by.node().await?;

    let get = |path: &str, token| request("GET", path, token, None);
    let path = format!("/v1/clusters/{cluster}");
    let mut servers = [
        (appliance.processes()?, &appliance.target, get(&path, Some(&token))),
        (hello.server.processes()?, &hello.target, get("/hello", None)),
        (nginx.server.processes()?, &nginx.target, get("/hello", None)),
        (node.server.processes()?, &node.target, get("/", Some(&node_token))),
    ];
    let mut pools = Vec::new();
    for (processes, target, request) in &mut servers {
        let mut pool = Pool::open(target, CONNECTIONS).await?;
        pool.cost(processes, size.of(2_000), request).await?; // warm
        pools.push((pool, Samples::default()));
    }
    for _ in 0..size.rounds {
        for ((pool, costs), (processes, _, request)) in pools.iter_mut().zip(&servers) {
            costs.push(pool.cost(processes, size.of(15_000), request).await?);
        }
    }
    let costs: Vec<_> = pools.into_iter().map(|(_, costs)| costs).collect();
    let [ours, hello, nginx, node] = costs.as_slice() else { unreachable!("four servers") };
    let row = |peer, theirs, goal| {
        Row::beside("authenticated GET of a cluster", "µs CPU", ours, peer, theirs, goal)
    };
    Ok(vec![
        row("bare axum + rustls", hello, Goal::AtMost(2.5)),
        row("nginx, 5-byte file", nginx, Goal::AtMost(1.0)),
        row("Node https + HMAC", node, Goal::AtMost(0.6)),
    ])
}
