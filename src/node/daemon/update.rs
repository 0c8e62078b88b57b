//! Updates of the image.

use std::sync::Arc;

use super::{Context, Node};
use crate::{
    error::{Error, Kind, Result},
    node::{
        answers,
        protocol::{
            CheckMirror, CheckUpload, InstallUpdate, MirrorAnswer, OfVersion, RestartIntoUpdate,
            UpdateSource, UpdateState,
        },
        update::{Mirror, MirrorSettings, Offer, Status, Updates},
    },
};

fn updates(context: &Context) -> Updates {
    Updates::new(context.paths().clone(), Arc::clone(context.clock()))
}

/// At the start: what a power cut has left of an installation goes.
pub(super) fn tidy(node: &Node) {
    let updates = Updates::new(node.paths.clone(), Arc::clone(&node.clock));
    if let Err(error) = updates.tidy() {
        tracing::warn!(error = %error.chain(), "the remains of an installation stay");
    }
}

/// What there is to say.
pub(super) fn state(context: &Context, _: UpdateState) -> Result<Status> {
    updates(context).status()
}

/// Reads a whole file and writes nothing.
pub(super) async fn check_upload(context: &Context, ask: CheckUpload) -> Result<Offer> {
    let updates = updates(context);
    let checked =
        tokio::task::spawn_blocking(move || updates.check_upload(&ask.file, ask.allow_downgrade));
    checked.await.map_err(Error::internal)?
}

/// Asks the mirror of the answers.
pub(super) async fn check_mirror(context: &Context, _: CheckMirror) -> Result<MirrorAnswer> {
    let offer = updates(context).check_mirror(&mirror(context)?).await?;
    Ok(MirrorAnswer { offer })
}

/// Installs into the other slot.
pub(super) async fn install(context: &Context, ask: InstallUpdate) -> Result<OfVersion> {
    let source = match ask.from {
        UpdateSource::Upload(file) => Ok(file),
        UpdateSource::Mirror => Err(mirror(context)?),
    };
    let job = updates(context).begin()?;
    context.progress("The update is being checked", Some(0));
    let version = match source {
        Ok(file) => job.install_upload(&file, ask.allow_downgrade).await?,
        Err(mirror) => job.install_newest(&mirror).await?,
    };
    Ok(OfVersion { version })
}

/// Restarts into what was installed last.
pub(super) async fn restart(context: &Context, _: RestartIntoUpdate) -> Result<OfVersion> {
    Ok(OfVersion { version: updates(context).restart().await? })
}

/// The mirror that the operator has named. `Conflict` (`no-mirror`) without one.
fn mirror(context: &Context) -> Result<Mirror> {
    let kept = answers::load(context.paths()).map_err(|error| {
        Error::new(Kind::Unavailable, "answers", "The answers of this appliance cannot be read.")
            .caused_by(error)
    })?;
    let answers =
        crate::node::properties::salvage(&kept.map(|kept| kept.given).unwrap_or_default());
    let Some(settings) = MirrorSettings::of(&answers.answers) else {
        return Err(Error::new(Kind::Conflict, "no-mirror", "No mirror is configured.")
            .with_hint("Name one on the console of the appliance, or upload the update file."));
    };
    Mirror::new(&settings)
}
