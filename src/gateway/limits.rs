//! Token buckets: per address before anything else, per tenant once it is known.
//!
//! Agents have buckets of their own. Behind the one address of a site there may
//! be hundreds of them, which all come back at once after a power cut: they
//! must not keep the people of that site out, nor the people them.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::{
    config::Limits,
    error::{Error, Kind, Result},
    ids::TenantId,
    observability::metrics::rate_limited,
};

/// The buckets of all addresses and tenants.
#[derive(Debug)]
pub(super) struct Buckets {
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    agents: DefaultKeyedRateLimiter<IpAddr>,
    tenants: DefaultKeyedRateLimiter<TenantId>,
}

impl Buckets {
    pub(super) fn new(limits: &Limits) -> Self {
        let quota = |rate: u32, burst: u32| {
            let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(rate))
        };
        Self {
            addresses: RateLimiter::keyed(quota(
                limits.per_address_per_second,
                limits.per_address_burst,
            )),
            agents: RateLimiter::keyed(quota(
                limits.agents_per_address_per_second,
                limits.agents_per_address_burst,
            )),
            tenants: RateLimiter::keyed(quota(
                limits.per_tenant_per_second,
                limits.per_tenant_burst,
            )),
        }
    }

    /// `route` is the template of the path.
    pub(super) fn check_address(&self, address: IpAddr, route: &str) -> Result<()> {
        if route == "/bus" || route.starts_with("/v1/agent/") {
            check(&self.agents, &prefix(address), "agents")
        } else {
            check(&self.addresses, &prefix(address), "address")
        }
    }

    pub(super) fn check_tenant(&self, tenant: TenantId) -> Result<()> {
        check(&self.tenants, &tenant, "tenant")
    }

    /// Forgets full buckets, so that memory does not grow with every address ever seen.
    pub(super) fn tidy(&self) {
        self.addresses.retain_recent();
        self.agents.retain_recent();
        self.tenants.retain_recent();
    }
}

fn check<K: Clone + Eq + Hash>(
    buckets: &DefaultKeyedRateLimiter<K>,
    key: &K,
    by: &'static str,
) -> Result<()> {
    buckets.check_key(key).map_err(|not_until| {
        rate_limited(by);
        too_many(not_until.wait_time_from(DefaultClock::default().now()))
    })
}

/// One host can have a whole /64 of IPv6 addresses.
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

fn too_many(wait: Duration) -> Error {
    Error::new(Kind::RateLimited, "rate-limited", "Too many requests.")
        .with_hint("Wait as long as Retry-After says.")
        .with_retry_after(wait)
}
