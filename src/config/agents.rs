//! Settings of the agents in clusters.

use super::{
    setting::section,
    value::{Days, Hours, Seconds},
};

section! {
    /// The agents in clusters.
    pub struct Agents in "agents";

    /// The container image in the manifest that imports a cluster. Follows `server.fqdn`
    /// when it is not set: the appliance serves the image itself.
    image: String as "palisade.example.com/palisade/agent:0.1.0";
    /// How long an agent may be silent before its cluster counts as unreachable.
    heartbeat_timeout_seconds: Seconds = 30 where 15..=3_600;
    /// The life of an agent's credential. It is renewed when two thirds have passed.
    credential_days: Days = 30 where 1..=365;
    /// How long the command that imports a cluster works.
    import_token_hours: Hours = 24 where 1..=720;
}
