//! Which request is answered by which function: one line each.

use serde_json::Value;

use super::{
    Context, answers, bundle, cluster, doctor, events, logs, power, recovery, status, update,
};
use crate::{
    error::{Error, Result},
    node::protocol::{
        Amend, Answers, Ask, AskStep, BundlePart, CheckMirror, CheckUpload, ClusterState,
        CompleteCluster, Events, EventsTaken, InstallUpdate, Invite, JoinCluster, KeepBundle, Logs,
        MachineChecks, MemberState, Power, RecoverAlone, RecoverKeystore, RemoveNode,
        RenewCertificate, Request, ResetAdministrator, RestartIntoUpdate, RestoreData,
        RestorePoint, StatusRequest, SupportBundle, SwitchOver, UpdateState,
    },
};

/// Answers one request, which the caller may ask.
pub(super) async fn answer(context: &Context, request: Request) -> Result<Value> {
    match request {
        Request::Status(ask) => done::<StatusRequest>(status::status(context, ask).await),
        Request::Logs(ask) => done::<Logs>(logs::read(context, ask).await),
        Request::Answers(ask) => done::<Answers>(answers::view(context, ask).await),
        Request::Amend(ask) => done::<Amend>(answers::amend(context, ask).await),
        Request::ResetAdministrator(ask) => {
            done::<ResetAdministrator>(recovery::reset(context, ask).await)
        }
        Request::RenewCertificate(ask) => {
            done::<RenewCertificate>(recovery::renew(context, ask).await)
        }
        Request::RecoverKeystore(ask) => {
            done::<RecoverKeystore>(recovery::open_keystore(context, ask).await)
        }
        Request::RestorePoint(ask) => {
            done::<RestorePoint>(recovery::restore_point(context, ask).await)
        }
        Request::RestoreData(ask) => {
            done::<RestoreData>(recovery::restore_data(context, ask).await)
        }
        Request::KeepBundle(ask) => done::<KeepBundle>(bundle::keep(context, ask).await),
        Request::Power(ask) => done::<Power>(power::power(context, ask).await),
        Request::UpdateState(ask) => done::<UpdateState>(update::state(context, ask)),
        Request::CheckUpload(ask) => done::<CheckUpload>(update::check_upload(context, ask).await),
        Request::CheckMirror(ask) => done::<CheckMirror>(update::check_mirror(context, ask).await),
        Request::InstallUpdate(ask) => done::<InstallUpdate>(update::install(context, ask).await),
        Request::RestartIntoUpdate(ask) => {
            done::<RestartIntoUpdate>(update::restart(context, ask).await)
        }
        Request::Events(ask) => done::<Events>(Ok(events::list(context, ask))),
        Request::EventsTaken(ask) => done::<EventsTaken>(events::taken(context, ask)),
        Request::MachineChecks(ask) => done::<MachineChecks>(doctor::checks(context, ask).await),
        Request::SupportBundle(ask) => done::<SupportBundle>(bundle::make(context, ask).await),
        Request::BundlePart(ask) => done::<BundlePart>(bundle::part(context, &ask)),
        Request::ClusterState(ask) => done::<ClusterState>(cluster::state(context, ask)),
        Request::Invite(ask) => done::<Invite>(cluster::invite(context, ask).await),
        Request::JoinCluster(ask) => done::<JoinCluster>(cluster::join(context, ask).await),
        Request::CompleteCluster(ask) => {
            done::<CompleteCluster>(cluster::complete(context, ask).await)
        }
        Request::RemoveNode(ask) => done::<RemoveNode>(cluster::remove(context, ask).await),
        Request::SwitchOver(ask) => done::<SwitchOver>(cluster::switch_over(context, ask).await),
        Request::RecoverAlone(ask) => {
            done::<RecoverAlone>(cluster::recover_alone(context, ask).await)
        }
        Request::MemberState(ask) => done::<MemberState>(cluster::report(context, ask).await),
        Request::AskStep(ask) => done::<AskStep>(cluster::step(context, ask.step).await),
    }
}

/// The answer of the request's own type, as JSON.
fn done<A: Ask>(answer: Result<A::Answer>) -> Result<Value> {
    serde_json::to_value(answer?).map_err(Error::internal)
}
