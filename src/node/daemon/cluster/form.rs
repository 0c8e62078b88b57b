//! The steps that make three nodes, of which one has data, one cluster.
//!
//! Each step can be done again. Until the data have moved and were compared,
//! the first node is what it was: when a step fails, the engines are stopped,
//! what they have goes, and its management plane starts on its own data again.
//! From then on the cluster runs, and the other nodes follow by themselves.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    invite::tell_others,
    local::{self, MANAGEMENT_PLANE},
    locked, own_place, steps,
    until::{Until, until},
    unusable, watch,
};
use crate::{
    error::{Error, Kind, Result},
    files,
    node::{
        daemon::{Context, Node, answers},
        first_boot,
        ha::{
            engines::Engines,
            members::{MOST, Member},
            place::{Phase, Place},
        },
        host::Host,
        outbox::Begun,
        protocol::{AskStep, ClusterProgress, CompleteCluster, Done, MemberStep},
    },
};

/// What a node may need for one step.
const STEP: Duration = Duration::from_mins(3);
/// How long a node that has just joined may take until it hears the others.
const TIME_TO_LISTEN: Duration = Duration::from_secs(30);
/// Three etcds agree within seconds; a busy machine needs more.
const TIME_TO_AGREE: Duration = Duration::from_mins(2);
/// Making an empty database, or copying one.
const TIME_TO_LEAD: Duration = Duration::from_mins(4);
/// Moving the data of the largest installation.
const TIME_TO_MOVE: Duration = Duration::from_hours(1);
/// Starting the management plane.
const TIME_TO_SERVE: Duration = Duration::from_mins(3);

/// Begins them again, after they have failed.
pub(crate) async fn complete(context: &Context, _ask: CompleteCluster) -> Result<Done> {
    let own = own_place(context.paths())?;
    let conflict = |code, message: String| Err(Error::new(Kind::Conflict, code, message));
    if own.phase == Phase::Running {
        return conflict("cluster-runs", "The cluster runs already.".to_owned());
    }
    if !own.is_founder() {
        let first = own.members.all().first().map(|first| first.name.to_string());
        let message = format!("The first node does this: {}.", first.unwrap_or_default());
        return conflict("not-the-first", message);
    }
    let members = own.members.all().len();
    if members < MOST {
        let message =
            format!("The cluster has {members} of {MOST} nodes; invite the others first.");
        return conflict("cluster-incomplete", message);
    }
    if locked(&context.node.cluster.progress).as_ref().is_some_and(|now| now.running) {
        return conflict("cluster-busy", "The steps are going on already.".to_owned());
    }
    begin(Arc::clone(&context.node));
    Ok(Done {})
}

/// Does them in the background; the state tells how far they are.
pub(super) fn begin(node: Arc<Node>) {
    tokio::spawn(async move {
        let _one = node.cluster.changing.lock().await;
        let number = node.outbox.begin(Begun::new("node.formCluster", "node"), node.clock.now());
        let outcome = all(&node).await;
        if let Err(error) = &outcome {
            tracing::error!(error = %error.chain(), "the cluster does not run");
            let failure = match error.hint() {
                Some(hint) => format!("{} {hint}", error.message()),
                None => error.message().to_owned(),
            };
            if let Some(progress) = &mut *locked(&node.cluster.progress) {
                progress.running = false;
                progress.failure = Some(failure);
            }
        }
        if let Ok(number) = number {
            let told = outcome.as_ref().map(drop).map_err(|error| ("failed", error.code()));
            let _ = node.outbox.end(number, told);
        }
    });
}

fn tell(node: &Node, step: &str, percent: u8) {
    tracing::info!(percent, "{step}");
    let step = step.to_owned();
    let running = percent < 100;
    *locked(&node.cluster.progress) =
        Some(ClusterProgress { step, percent, running, failure: None });
}

async fn all(node: &Arc<Node>) -> Result<()> {
    let own = own_place(&node.paths)?;
    let own = match own.phase {
        Phase::Running => own,
        Phase::Forming => match until_it_serves(node, &own).await {
            Ok(own) => own,
            Err(error) => {
                as_before(node, &own).await;
                return Err(error);
            }
        },
    };
    tell(node, "Starting the management planes of the other nodes", 90);
    tell_others(node, &own).await;
    let names = own.members.all().iter().map(|member| member.name.clone()).collect();
    let (engines, here) = (Engines::new(&node.paths)?, own.own_member().address);
    until(node, &engines, here, Until::AllServe(names), TIME_TO_SERVE).await?;
    tell(node, "The cluster is highly available", 100);
    Ok(())
}

/// The part after which there is no way back.
async fn until_it_serves(node: &Arc<Node>, own: &Place) -> Result<Place> {
    let first = own.own_member().address;
    tell(node, "Telling every node who belongs to the cluster", 5);
    for member in own.members.all() {
        ask(node, own, member, MemberStep::Take(own.common())).await?;
        // What an earlier try has left must not be taken for a cluster.
        ask(node, own, member, MemberStep::DiscardEngines).await?;
    }
    tell(node, "Starting etcd on every node", 15);
    for member in own.members.all() {
        ask(node, own, member, MemberStep::StartEtcd).await?;
    }
    let engines = Engines::new(&node.paths)?;
    until(node, &engines, first, Until::EtcdAgrees, TIME_TO_AGREE).await?;
    tell(node, "Making the first database", 25);
    ask(node, own, own.own_member(), MemberStep::StartDatabase).await?;
    until(node, &engines, first, Until::Leads(own.own.clone()), TIME_TO_LEAD).await?;
    tell(node, "Making the other databases", 40);
    for member in own.members.others(&own.own) {
        ask(node, own, member, MemberStep::StartDatabase).await?;
    }
    until(node, &engines, first, Until::HaveEverything(1), TIME_TO_LEAD).await?;
    engines.any_standby_counts(first).await?;
    tell(node, "Waiting until both other databases have everything", 55);
    until(node, &engines, first, Until::HaveEverything(2), TIME_TO_LEAD).await?;
    tell(node, "Moving the data", 65);
    let running = own.in_phase(Phase::Running);
    move_data(node, &running).await?;
    running.save(&node.paths).map_err(|fault| unusable(&fault))?;
    tell(node, "Starting the management plane on the cluster", 80);
    answers::render(node).await?;
    local::start(node, MANAGEMENT_PLANE).await?;
    until(node, &engines, first, Until::Serves, TIME_TO_SERVE).await?;
    Ok(running)
}

/// The management plane is stopped, and its data are copied and compared.
async fn move_data(node: &Node, running: &Place) -> Result<()> {
    let settings = node.paths.serve_settings();
    let next = next_settings(node, running)?;
    local::stop(node, &[MANAGEMENT_PLANE]).await?;
    let run = node.programs.as_management_plane(&node.paths.data(), TIME_TO_MOVE);
    let run = run.args(["storage", "move", "-o", "json"]);
    let run = run.args([std::ffi::OsStr::new("--config"), settings.as_os_str()]);
    let run = run.args([std::ffi::OsStr::new("--to-config"), next.as_os_str()]);
    let output = run.output().await?;
    if output.success {
        return Ok(());
    }
    let said = output.said();
    let what = said.map_or("it did not say why", |said| said.what);
    let message = format!("The data were not moved: {what}.");
    Err(Error::new(Kind::Unavailable, "move-failed", message))
}

/// The settings that the management plane will have, where our own program finds them.
fn next_settings(node: &Node, running: &Place) -> Result<PathBuf> {
    let host = Host::of(node.paths.clone(), node.programs.clone());
    let unreadable = |error: std::io::Error| {
        Error::unavailable("The settings of the cluster cannot be written.").caused_by(error)
    };
    let text = first_boot::settings_in(&host, running).map_err(unreadable)?;
    let path = node.paths.run().join("cluster/serve-next.toml");
    files::replace(&path, text.as_bytes(), files::PUBLIC).map_err(unreadable)?;
    Ok(path)
}

/// After a failure: this node works alone again, as before.
async fn as_before(node: &Arc<Node>, own: &Place) {
    if own_place(&node.paths).is_ok_and(|now| now.phase == Phase::Running) {
        // The data have moved; the others follow when they can.
        return;
    }
    for member in own.members.all() {
        if let Err(error) = ask(node, own, member, MemberStep::DiscardEngines).await {
            tracing::warn!(error = %error.chain(), node = %member.name, "the engines of a node go on");
        }
    }
    if let Err(error) = local::start(node, MANAGEMENT_PLANE).await {
        tracing::error!(error = %error.chain(), "the management plane stays stopped");
    }
}

async fn ask(node: &Arc<Node>, own: &Place, member: &Member, step: MemberStep) -> Result<()> {
    if member.name == own.own {
        return steps::carry_out(node, step).await;
    }
    let begun = tokio::time::Instant::now();
    loop {
        let asked = AskStep { step: step.clone() };
        match watch::ask(node, member.address, asked, STEP).await {
            // A node that has just joined opens its door within seconds.
            Err(error) if error.kind() == Kind::Unavailable && begun.elapsed() < TIME_TO_LISTEN => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            asked => return asked.map(drop),
        }
    }
}
