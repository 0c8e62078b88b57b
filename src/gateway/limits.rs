//! Token buckets: per address before anything else, per tenant once it is known.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::{
    config::Limits,
    error::{Error, Kind, Result},
    ids::TenantId,
};

/// The buckets of all addresses and tenants.
#[derive(Debug)]
pub(super) struct Buckets {
    addresses: DefaultKeyedRateLimiter<IpAddr>,
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
            tenants: RateLimiter::keyed(quota(
                limits.per_tenant_per_second,
                limits.per_tenant_burst,
            )),
        }
    }

    pub(super) fn check_address(&self, address: IpAddr) -> Result<()> {
        self.addresses.check_key(&prefix(address)).map_err(|not_until| {
            metrics::counter!("palisade_rate_limited_total", "by" => "address").increment(1);
            too_many(not_until.wait_time_from(DefaultClock::default().now()))
        })
    }

    pub(super) fn check_tenant(&self, tenant: TenantId) -> Result<()> {
        self.tenants.check_key(&tenant).map_err(|not_until| {
            metrics::counter!("palisade_rate_limited_total", "by" => "tenant").increment(1);
            too_many(not_until.wait_time_from(DefaultClock::default().now()))
        })
    }

    /// Forgets full buckets, so that memory does not grow with every address ever seen.
    pub(super) fn tidy(&self) {
        self.addresses.retain_recent();
        self.tenants.retain_recent();
    }
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
