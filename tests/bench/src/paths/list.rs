//! A page of 50 out of 10,000 clusters, searched and sorted, beside the same
//! statements in the `sqlite3` program.

use std::fmt::Write as _;

use anyhow::Result;
use palisade::bus::message::{Capacity, NodeCounts, NodeState, PodCounts, Report};

use super::Size;
use crate::{
    appliance::{Appliance, Settings},
    http::request,
    load::Pool,
    measure::{Samples, cpu, micros_each},
    peers::Sqlite,
    table::{Goal, Row},
};

const CLUSTERS: usize = 10_000;

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    // Nobody reports here, and silence would make everything unreachable.
    let settings =
        Settings::new()?.with("bus.mode", "off").with("agents.heartbeat_timeout_seconds", "3600");
    let mut appliance = Appliance::new(settings).await?;
    let token = appliance.token().await?;
    appliance.project(&token, "Factories").await?;
    appliance
        .restart(|data| {
            let report = serde_json::to_string(&report())?;
            Sqlite::open(&data.join("palisade.db"), &[])?.run(&clusters(&report))?;
            Ok(())
        })
        .await?;
    let token = appliance.token().await?;
    let path = "/v1/clusters?limit=50&q=plant-05&phase=healthy&sort=-lastHeartbeatAt";
    let page = appliance.call("GET", path, Some(&token), None).await?;
    anyhow::ensure!(
        page["items"].as_array().is_some_and(|items| items.len() == 50) && page["total"] == 500,
        "not the page that was expected: {} in all",
        page["total"]
    );

    let database = appliance.data().join("palisade.db");
    let tenant = Sqlite::answer(&database, "SELECT tenant_id FROM project")?;
    let script = Sqlite::repeat(&statements(&tenant), size.of(60));
    let mut peer = Sqlite::open(&database, &["-readonly"])?;
    peer.run(&script)?;
    let request = request("GET", path, Some(&token), None);
    let processes = appliance.processes()?;
    let mut pool = Pool::open(&appliance.target, 4).await?;
    pool.cost(&processes, size.of(100), &request).await?;
    let (mut ours, mut theirs, mut slowest) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..size.rounds {
        let (total, bytes) = (size.of(300), request.clone());
        pool.renew().await?;
        let before = cpu(&processes)?;
        let load = pool.run(total, move |_| bytes.clone()).await?;
        ours.push(micros_each(cpu(&processes)?.saturating_sub(before), total));
        slowest.push(load.latencies.quantile(0.95));
        theirs.push(micros_each(peer.run(&script)?.cpu, size.of(60)));
    }
    let path = "page of 50 of 10,000 clusters, filtered and sorted";
    Ok(vec![
        Row::beside(path, "µs CPU", &ours, "same SQL in sqlite3", &theirs, Goal::AtMost(3.0)),
        Row::alone(format!("{path}, p95"), "ms", &slowest, Some(Goal::AtMost(50.0))),
    ])
}

/// What the store asks for this page: keep it the same as `store::clusters::list`.
fn statements(tenant: &str) -> String {
    let conditions = format!(
        "tenant_id = '{tenant}' AND phase = 'healthy' AND LOWER(name) LIKE '%plant-05%' ESCAPE '\\'"
    );
    format!(
        "SELECT COUNT(*) FROM cluster WHERE {conditions}; \
         SELECT tenant_id, id, project_id, name, phase, reasons, report, last_heartbeat_at, \
         (kubeconfig_sealed IS NOT NULL) AS has_kubeconfig, created_at, version \
         FROM cluster WHERE {conditions} \
         ORDER BY COALESCE(last_heartbeat_at, 0) DESC, id DESC LIMIT 51; \
         SELECT id, name FROM project WHERE tenant_id = '{tenant}';"
    )
}

/// Half of the clusters are healthy, the other half degraded.
fn clusters(report: &str) -> String {
    let mut script = String::from("PRAGMA foreign_keys = ON;\nBEGIN;\n");
    for number in 0..CLUSTERS {
        let phase = if number % 2 == 0 { "healthy" } else { "degraded" };
        let heard = 1_790_000_000_000_000_u64 + number as u64 * 7_919 % 10_007;
        let _ = writeln!(
            script,
            "INSERT INTO cluster (tenant_id, id, project_id, name, phase, reasons, report, \
             last_heartbeat_at, created_at, version) SELECT tenant_id, \
             printf('%012x', {number}), id, 'plant-{number:05}', '{phase}', '[]', '{report}', \
             {heard}, {heard}, 1 FROM project;"
        );
    }
    script + "COMMIT;"
}

/// What the agent of a small cluster reports.
fn report() -> Report {
    let node = |number| NodeState {
        name: format!("node-{number:03}"),
        ready: true,
        schedulable: true,
        reason: String::new(),
        version: "v1.33.3".to_owned(),
    };
    Report {
        agent_version: "0.1.0".to_owned(),
        kubernetes_version: "v1.33.3".to_owned(),
        api_latency_ms: Some(7),
        nodes: NodeCounts { total: 6, ready: 6 },
        node_list: (0..6).map(node).collect(),
        pods: PodCounts { running: 120, ..PodCounts::default() },
        cpu: Capacity { allocatable: 48_000, used: Some(17_000) },
        memory: Capacity { allocatable: 6 << 35, used: Some(3 << 35) },
        unhealthy_workloads: Vec::new(),
        unreadable: Vec::new(),
    }
}
