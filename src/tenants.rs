//! Tenants and their projects.
//!
//! Owns: creating, suspending and deleting tenants and projects.
//! Must not know: HTTP, SQL, or what is inside a cluster.

mod projects;
mod service;

pub use projects::{NewProject, ProjectChange, Projects};
pub use service::{AddedAdmin, CreatedTenant, NewTenant, TenantChange, Tenants};
