//! Limits that keep one caller from using up the appliance.

use super::{setting::section, value::Seconds};

section! {
    /// How much one request, one address and one tenant may take.
    pub struct Limits in "limits";

    /// The largest body of an API request in bytes. The registry has no such limit.
    body_bytes: usize = 1_048_576 where 1_024..=67_108_864;
    /// How deeply JSON may be nested.
    json_depth: usize = 64 where 8..=128;
    /// How long an API request may take, reading its body included.
    request_seconds: Seconds = 30 where 1..=600;
    /// Requests per second from one address, in the long run.
    per_address_per_second: u32 = 100 where 1..=1_000_000;
    /// Requests at once from one address, after it has been quiet.
    per_address_burst: u32 = 400 where 1..=1_000_000;
    /// Connections and requests per second of all agents behind one address, in the long
    /// run. They are counted apart from those of people at the same address.
    agents_per_address_per_second: u32 = 200 where 1..=1_000_000;
    /// Connections and requests at once of all agents behind one address, e.g. when all
    /// clusters of a site come back after a power cut.
    agents_per_address_burst: u32 = 2_000 where 1..=1_000_000;
    /// Requests per second of all users of one tenant, in the long run.
    per_tenant_per_second: u32 = 500 where 1..=1_000_000;
    /// Requests at once of all users of one tenant, after it has been quiet.
    per_tenant_burst: u32 = 2_000 where 1..=1_000_000;
}
