//! Who may do what: permissions, roles, decisions and the proof of one.
//!
//! Owns: the list of permissions, the built-in roles, the union of a user's
//! roles ([`Grants`]) and [`Permit`], which only this module can build.
//! Must not know: the database, HTTP, or how somebody logged in. Everything
//! here is pure and works on values that others have loaded.
//!
//! Start at [`Grants::permit`].

mod actor;
mod decide;
mod epochs;
mod permission;
mod permit;
mod reach;
mod role;

pub use actor::{Actor, Idempotency, Principal, RequestMeta};
pub use decide::{Grant, Grants, Source, Why};
pub use epochs::Epochs;
pub use permission::{Level, Permission, PermissionSet, Right, UnknownPermission, rights};
pub use permit::{Permit, system_permit};
pub use reach::{Projects, Reach};
pub use role::{BUILT_IN, BuiltIn, RoleScope, refuse_unsuitable};
