//! Starting the machine again, and ending it.

use super::Context;
use crate::{
    error::Result,
    node::protocol::{Done, Power},
};

/// Asks systemd, which ends every service first. The answer comes before that.
pub(super) async fn power(context: &Context, ask: Power) -> Result<Done> {
    let (verb, doing) = match ask {
        Power::Reboot => ("reboot", "Rebooting"),
        Power::ShutDown => ("poweroff", "Shutting down"),
    };
    let run = context.programs().run("systemctl").args(["--no-block", verb]);
    run.output().await?.or_failure(doing)?;
    Ok(Done {})
}
