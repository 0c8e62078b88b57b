//! Permission as a value: work that needs it asks for it.
//!
//! A function that takes `&Permit<R>` cannot be called by code that forgot to
//! ask whether the caller may do `R`: only `Grants::permit` and
//! [`system_permit`] make one.

use std::marker::PhantomData;

use super::{actor::Actor, decide::refusal, permission::Right, reach::Reach};
use crate::{
    error::{Error, Result},
    ids::{ProjectId, TenantId},
};

/// Proof that an actor may do `R` in a tenant, within a [`Reach`].
#[derive(Debug)]
pub struct Permit<R> {
    actor: Actor,
    reach: Reach,
    sight: Option<Reach>,
    right: PhantomData<R>,
}

impl<R: Right> Permit<R> {
    pub(super) fn new(actor: Actor, reach: Reach, sight: Option<Reach>) -> Self {
        Self { actor, reach, sight, right: PhantomData }
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The tenant in which it holds. Every store function takes this.
    pub fn tenant(&self) -> TenantId {
        self.actor.tenant
    }

    /// Where in the tenant it holds; lists filter by this.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether it holds on an object of `project` (`None`: of the tenant itself).
    ///
    /// `Forbidden` when the caller may see such objects there but not do this;
    /// `NotFound` when it may not even know that the object exists.
    pub fn on(&self, noun: &'static str, project: Option<ProjectId>) -> Result<()> {
        if self.reach.covers(project) {
            return Ok(());
        }
        let visible = self.sight.as_ref().is_some_and(|sight| sight.covers(project));
        if visible { Err(refusal(R::PERMISSION)) } else { Err(Error::not_found(noun)) }
    }
}

/// The appliance's own permit for `tenant`: for control loops, start-up and an
/// operator on the console. `_reason` makes every use explain itself in the code.
pub fn system_permit<R: Right>(tenant: TenantId, _reason: &'static str) -> Permit<R> {
    Permit::new(Actor::system(tenant), Reach::Tenant, Some(Reach::Tenant))
}
