//! What was done on the machine itself, in the audit trail.
//!
//! The node daemon keeps its events until we have them. The number of the last
//! one is kept in the transaction that records it: an event is neither lost nor
//! recorded twice, wherever either side dies.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{
    audit::{Event, Ledger, Outcome},
    error::{Error, Result},
    ids::TenantId,
    node::{
        client::{Client, NoAnswer},
        protocol::{EventList, Events, EventsTaken, NodeEvent},
    },
    rbac::{Actor, Principal, RequestMeta},
    store::{self, Tx, settings::Setting},
};

/// The beginning of the name of the setting that keeps how far we are; the name
/// of the list follows, since every node of a cluster has one.
const SETTING: &str = "node-events";

/// Takes the node's events over.
#[derive(Debug)]
pub struct NodeRecords {
    ledger: Ledger,
    client: Client,
    /// What the daemon has heard of in this run.
    told: Mutex<Taken>,
}

/// How far we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    outbox: String,
    through: u64,
}

impl NodeRecords {
    /// From this daemon into this ledger.
    pub fn new(ledger: Ledger, client: Client) -> Self {
        Self { ledger, client, told: Mutex::default() }
    }

    /// Takes over what there is; answers how many events that were. `None` when
    /// there is no daemon, as on machines that are no appliance.
    pub async fn collect(&self) -> Result<Option<usize>> {
        // What the daemon was told to forget is not in it any more.
        let list = match self.client.ask(Events { after: 0 }).await {
            Err(NoAnswer::Silent(_)) => return Ok(None),
            Err(failed) => return Err(failed.into()),
            Ok(list) => list,
        };
        let known = taken(&mut self.ledger.store().read().await?, &list.outbox).await?.0;
        let new = list.events.iter().filter(|event| event.number > known.through);
        let count = new.count();
        if count == 0 {
            if known.through > 0 && !self.has_told(&known) {
                self.tell(known).await?;
            }
            return Ok(Some(0));
        }
        let Some(taken) = self.record(list).await? else { return Ok(Some(0)) };
        // Dying here is harmless: the next run tells it when nothing new has come.
        self.tell(taken).await?;
        Ok(Some(count))
    }

    /// Lets the daemon forget what we have.
    async fn tell(&self, taken: Taken) -> Result<()> {
        self.client.ask(EventsTaken { through: taken.through }).await?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        Ok(())
    }

    fn has_told(&self, taken: &Taken) -> bool {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) == *taken
    }

    /// Records the events that are not recorded yet, and answers how far we are
    /// then; `None` when all were.
    async fn record(&self, list: EventList) -> Result<Option<Taken>> {
        let EventList { outbox, mut events } = list;
        let mut change = self.ledger.begin(&Actor::system(TenantId::SYSTEM)).await?;
        let (known, version) = taken(change.tx(), &outbox).await?;
        events.retain(|event| event.number > known.through);
        let Some(through) = events.last().map(|event| event.number) else { return Ok(None) };
        let name = setting(&outbox);
        let now = Taken { outbox, through };
        let value = serde_json::to_string(&now).map_err(Error::internal)?;
        let setting = Setting { value, sealed: None, version };
        let put = store::settings::put(change.tx(), TenantId::SYSTEM, &name, &setting, version);
        if !put.await? {
            return Err(crate::identity::stale());
        }
        for event in events {
            let actor = actor(&event);
            change.by(&actor, described(event)).await?;
        }
        change.finish().await?;
        Ok(Some(now))
    }
}

fn setting(outbox: &str) -> String {
    format!("{SETTING}/{outbox}")
}

async fn taken(tx: &mut Tx, outbox: &str) -> Result<(Taken, i64)> {
    let found = store::settings::find(tx, TenantId::SYSTEM, &setting(outbox)).await?;
    let Some(found) = found else {
        return Ok((Taken { outbox: outbox.to_owned(), through: 0 }, 0));
    };
    Ok((serde_json::from_str(&found.value).map_err(Error::internal)?, found.version))
}

/// A person at the machine, known by name or not; else the appliance itself.
fn actor(event: &NodeEvent) -> Actor {
    let principal = match event.origin.as_str() {
        "console" | "root" => {
            Principal::Console { user: event.user.as_deref().and_then(|user| user.parse().ok()) }
        }
        _ => Principal::System,
    };
    Actor { principal, tenant: TenantId::SYSTEM, request: RequestMeta::default() }
}

fn described(event: NodeEvent) -> Event {
    let outcome = match event.outcome.as_str() {
        "success" => Outcome::Success,
        "denied" => Outcome::Denied,
        _ => Outcome::Failed,
    };
    let mut described = Event::new(event.action)
        .outcome(outcome)
        .with("at", event.at.to_string())
        .with("origin", event.origin)
        .with("number", event.number);
    for (name, value) in [("proof", event.proof), ("user", event.user), ("reason", event.reason)] {
        if let Some(value) = value {
            described = described.with(name, value);
        }
    }
    described
}
