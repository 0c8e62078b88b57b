//! The whole audit trail as CSV, through TLS and with names, beside the bare
//! rows from `sqlite3 -csv`.

use anyhow::{Result, ensure};

use super::Size;
use crate::{
    appliance::{Appliance, Settings},
    http::request,
    measure::{Samples, cpu, forget_peak, memory},
    peers::Sqlite,
    table::{Goal, Row},
};

const RECORDS: usize = 1_000_000;

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let records = size.of(RECORDS);
    let mut appliance = Appliance::new(Settings::new()?.with("bus.mode", "off")).await?;
    let token = appliance.token().await?;
    appliance.project(&token, "Factories").await?;
    appliance
        .restart(|data| {
            Sqlite::open(&data.join("palisade.db"), &[])?.run(&fill(records))?;
            Ok(())
        })
        .await?;
    let token = appliance.token().await?;
    let request = request("GET", "/v1/audit/export.csv", Some(&token), None);
    let database = appliance.data().join("palisade.db");
    let mut peer = Sqlite::open(&database, &["-readonly", "-csv", "-header"])?;
    let process = appliance.process()?;
    let mut connection = appliance.target.connect().await?;

    let (mut ours, mut theirs, mut grown) =
        (Samples::default(), Samples::default(), Samples::default());
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    for _ in 0..size.rounds {
        forget_peak(process)?;
        let (resting, before) = (memory(&[process], "VmRSS")?, cpu(&[process])?);
        let mut lines = 0;
        let count = |part: &[u8]| lines += part.split(|byte| *byte == b'\n').count() - 1;
        let status = connection.stream(&request, count).await?;
        ensure!(status == 200 && lines > records, "{lines} lines of {records}, status {status}");
        ours.push(seconds(cpu(&[process])?.saturating_sub(before)));
        grown.push((memory(&[process], "VmHWM")?.saturating_sub(resting)) as f64 / 1024.0);
        theirs.push(seconds(peer.run(QUERY)?.cpu));
    }
    let path = format!("audit trail of {records} records as CSV");
    Ok(vec![
        Row::beside(&path, "s CPU", &ours, "sqlite3 -csv", &theirs, Goal::AtMost(2.0)),
        Row::alone(format!("{path}, memory beyond rest"), "MiB", &grown, Some(Goal::AtMost(16.0))),
    ])
}

/// The records of the tenant in the order of our file.
const QUERY: &str = "SELECT a.id, a.at, a.actor_kind, a.actor_id, a.action, a.object_kind, \
    a.object_id, a.outcome, p.name, a.detail, a.request_id, a.address, a.position \
    FROM audit_record a LEFT JOIN project p ON p.id = a.project_id \
    WHERE a.tenant_id = (SELECT id FROM tenant WHERE slug = 'bench') ORDER BY a.at, a.id;";

/// Records like real ones, at places that the chain does not reach meanwhile.
fn fill(records: usize) -> String {
    format!(
        "INSERT INTO audit_record (id, tenant_id, at, project_id, actor_kind, actor_id, action, \
         object_kind, object_id, outcome, detail, request_id, address, mac, position, link) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {records}) \
         SELECT printf('%012x', 0x100000000000 + i), p.tenant_id, 1700000000000000 + i * 1000, p.id, \
         'user', u.id, 'cluster.update', 'cluster', printf('%012x', i % 10007), 'success', \
         '{{\"name\":\"plant-' || (i % 10007) || '\"}}', printf('%016x', i), '10.20.30.40', \
         zeroblob(32), 1000000000 + i, zeroblob(32) \
         FROM n, project p JOIN app_user u ON u.tenant_id = p.tenant_id;"
    )
}
