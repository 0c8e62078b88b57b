//! The nodes of the management cluster, as its administrators look after them.
//!
//! Owns: what is recorded, how long a request waits for what takes longer, and
//! how far that is.
//! Must not know: how nodes become one cluster. The node daemon does that; which
//! of its refusals is which error follows from their kinds.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};
use tokio_util::task::TaskTracker;

use crate::{
    audit::{Event, Ledger, Outcome},
    clock::Timestamp,
    error::{Error, Kind, Result},
    node::{
        client::Client,
        ha::members::NodeName,
        not_an_appliance,
        paths::Paths,
        protocol::{
            ClusterState, ClusterView, CompleteCluster, Invitation, Invite, Progress, RemoveNode,
            SwitchOver,
        },
    },
    rbac::{
        Actor, Permit,
        rights::{PlatformGet, PlatformUpdate},
    },
};

/// A request waits this long for a refusal; what was not refused by then goes on.
const MOMENT: Duration = Duration::from_secs(2);
/// While another database begins to lead nothing can be recorded.
const TRIES: u32 = 30;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// The nodes of the cluster that this appliance belongs to, if it is one.
#[derive(Debug)]
pub struct Nodes {
    ledger: Ledger,
    node: Option<Client>,
    work: Mutex<Option<Work>>,
}

/// What there is to see.
#[derive(Clone, Debug)]
pub struct NodesNow {
    /// The cluster.
    pub cluster: ClusterView,
    /// What was asked for through this node, and how far it is.
    pub work: Option<Work>,
}

/// Something that takes longer than a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// What.
    pub task: Task,
    /// What is being done, or was being done when it ended.
    pub step: String,
    /// How much of it, if that is known.
    pub percent: Option<u8>,
    /// How it ended; nothing while it goes on.
    pub ended: Option<Ended>,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why it failed, and what to do about it; nothing when it was done.
    pub failure: Option<(String, Option<String>)>,
}

/// What takes longer than a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Taking this node out.
    Remove(NodeName),
    /// Letting this node's database lead, or the one that is nearest. When that
    /// is done, the one that leads.
    SwitchOver(Option<NodeName>),
}

impl Nodes {
    /// The nodes as the daemon of this layout knows them, if we run on an appliance.
    pub fn new(ledger: Ledger, paths: Option<&Paths>) -> Self {
        Self { ledger, node: paths.map(Client::of), work: Mutex::default() }
    }

    /// How the cluster does, and how far what was asked for is.
    ///
    /// `Conflict` (`not-an-appliance`) elsewhere than on an appliance.
    pub async fn view(&self, _permit: &Permit<PlatformGet>) -> Result<NodesNow> {
        let cluster = self.node()?.ask(ClusterState {}).await.map_err(Error::from)?;
        Ok(NodesNow { cluster, work: self.work().clone() })
    }

    /// A code for one more node. It is in this answer only.
    pub async fn invite(&self, permit: &Permit<PlatformUpdate>, ask: Invite) -> Result<Invitation> {
        let actor = permit.actor();
        let event = Event::new("platform.invite").with("begin", ask.begin);
        let asked = async {
            let user = actor.principal.uid();
            self.node()?.ask_as(ask, None, user, |_| ()).await.map_err(Error::from)
        };
        let invitation = asked.await;
        let event = match &invitation {
            Ok(made) => event.with("address", made.address.to_string()),
            Err(_) => event,
        };
        self.recorded(actor, event, invitation).await
    }

    /// Begins the steps that make a complete cluster run; how far they are,
    /// [`Nodes::view`] says.
    pub async fn complete(&self, permit: &Permit<PlatformUpdate>) -> Result<()> {
        let actor = permit.actor();
        let asked = async {
            let user = actor.principal.uid();
            self.node()?.ask_as(CompleteCluster {}, None, user, |_| ()).await.map_err(Error::from)
        };
        let outcome = asked.await;
        self.recorded(actor, Event::new("platform.completeCluster"), outcome).await.map(drop)
    }

    /// Begins to take a node out. What is refused at once is an error; how the
    /// rest ended, [`Nodes::view`] says.
    ///
    /// `NotFound` (`no-such-node`), `Conflict`: `own-node`, `no-majority`,
    /// `no-cluster`, `nodes-busy`, `not-an-appliance`.
    pub async fn remove(
        self: &Arc<Self>,
        permit: &Permit<PlatformUpdate>,
        name: NodeName,
        tasks: &TaskTracker,
    ) -> Result<()> {
        self.begin(permit.actor(), Task::Remove(name), tasks).await
    }

    /// Begins to let another node's database lead; without a name the one that
    /// is nearest to the one that leads now. Ends as [`Nodes::remove`] does.
    pub async fn switch_over(
        self: &Arc<Self>,
        permit: &Permit<PlatformUpdate>,
        to: Option<NodeName>,
        tasks: &TaskTracker,
    ) -> Result<()> {
        self.begin(permit.actor(), Task::SwitchOver(to), tasks).await
    }

    async fn begin(self: &Arc<Self>, actor: &Actor, task: Task, tasks: &TaskTracker) -> Result<()> {
        let node = match self.claim(&task) {
            Ok(node) => node,
            Err(error) => return self.recorded(actor, task.event(), Err(error)).await,
        };
        let (begun, is_under_way) = oneshot::channel();
        let (nodes, actor) = (Arc::clone(self), actor.clone());
        let work = tasks.spawn(async move { nodes.carry_out(&node, &actor, task, begun).await });
        // Whichever comes first: word that it goes on, its end, or a moment.
        let outcome = tokio::select! {
            biased;
            Ok(()) = is_under_way => return Ok(()),
            ended = work => ended.map_err(Error::internal)?,
            () = sleep(MOMENT) => return Ok(()),
        };
        if outcome.is_err() {
            // The caller hears it; nobody has to look for it.
            *self.work() = None;
        }
        outcome
    }

    /// One thing at a time.
    fn claim(&self, task: &Task) -> Result<Client> {
        let node = self.node()?.clone();
        let mut work = self.work();
        if work.as_ref().is_some_and(|work| work.ended.is_none()) {
            let message = "Another change of the nodes is under way.";
            return Err(Error::new(Kind::Conflict, "nodes-busy", message)
                .with_hint("Wait until it has ended."));
        }
        let step = "Asking the node".to_owned();
        *work = Some(Work { task: task.clone(), step, percent: None, ended: None });
        Ok(node)
    }

    async fn carry_out(
        &self,
        node: &Client,
        actor: &Actor,
        task: Task,
        begun: oneshot::Sender<()>,
    ) -> Result<()> {
        let event = task.event();
        let user = actor.principal.uid();
        let mut begun = Some(begun);
        let hear = |Progress { text, percent }| {
            if let Some(work) = &mut *self.work() {
                (work.step, work.percent) = (text, percent);
            }
            // Nobody listens any more when the caller has gone.
            let _ = begun.take().map(|begun| begun.send(()));
        };
        let asked = match task {
            Task::Remove(name) => {
                let done = node.ask_as(RemoveNode { name: name.clone() }, None, user, hear).await;
                done.map(|_| Task::Remove(name))
            }
            Task::SwitchOver(to) => {
                let done = node.ask_as(SwitchOver { to }, None, user, hear).await;
                done.map(|done| Task::SwitchOver(Some(done.leader)))
            }
        };
        let outcome = asked.map_err(Error::from);
        let event = match &outcome {
            Ok(done) => done.event(),
            Err(error) => event.outcome(Outcome::Failed).with("reason", error.code()),
        };
        self.end(&outcome);
        self.note(actor, event).await;
        outcome.map(drop)
    }

    fn end(&self, outcome: &Result<Task>) {
        let at = self.ledger.clock().now();
        if let Some(work) = &mut *self.work() {
            let failure = match outcome {
                Ok(done) => {
                    work.task = done.clone();
                    None
                }
                Err(error) => Some((error.message().to_owned(), error.hint().map(str::to_owned))),
            };
            work.ended = Some(Ended { at, failure });
        }
    }

    /// Records what nobody waits for any more, as soon as that can be done. The
    /// node daemon keeps a record of its own until the audit trail has it.
    async fn note(&self, actor: &Actor, event: Event) {
        for _ in 0..TRIES {
            match self.ledger.note(actor, event.clone()).await {
                Err(error) if error.kind() == Kind::Unavailable => sleep(BETWEEN_TRIES).await,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "a change of the nodes is not recorded");
                    return;
                }
                Ok(()) => return,
            }
        }
        tracing::warn!("a change of the nodes is not recorded: the store does not answer");
    }

    /// Notes how something ended, and hands it on.
    async fn recorded<T>(&self, actor: &Actor, event: Event, outcome: Result<T>) -> Result<T> {
        let event = match &outcome {
            Ok(_) => event,
            Err(error) => event.outcome(Outcome::Failed).with("reason", error.code()),
        };
        self.ledger.note(actor, event).await?;
        outcome
    }

    fn node(&self) -> Result<&Client> {
        self.node.as_ref().ok_or_else(not_an_appliance)
    }

    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    /// The node that it is about, when that is known.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Remove(name) => Some(name),
            Self::SwitchOver(to) => to.as_ref(),
        }
    }

    fn event(&self) -> Event {
        let event = Event::new(match self {
            Self::Remove(_) => "platform.removeNode",
            Self::SwitchOver(_) => "platform.switchOver",
        });
        match self.node() {
            Some(name) => event.with("node", name.as_str()),
            None => event,
        }
    }
}
