//! Palisade: the architecture of the code.
//!
//! One static binary manages fleets of Kubernetes clusters from behind the
//! firewall. This page is the map; every module's own page says what it owns
//! and what it must not know.
//!
//! # From a request to the disk
//!
//! ```text
//! browser, CLI            agent
//!      | HTTPS              | wss, through the same port
//!   gateway ---------------tunnel--- nats-server
//!      | Permit<R>                        |
//!   identity  tenants  clusters --------- bus
//!      |        |         |
//!      +--- audit: Change = transaction + record
//!                |
//!              store (SQLite or PostgreSQL)      vault - keystore
//! ```
//!
//! A request passes `gateway::envelope`, which finds out who is calling. A
//! handler takes `Allowed<R>`: the proof, made in [`rbac`], that the caller may
//! do `R`. It calls one service; the service begins a [`audit::Change`], reads
//! and writes through [`store`] with the permit's tenant, and commits with the
//! [`audit::Event`] that describes what was done.
//!
//! A heartbeat comes through the tunnel to the broker, from there to [`bus`],
//! which takes the tenant from the account it came through, and on to
//! [`clusters`], which keeps the live state and tells the open event streams.
//!
//! # Layers
//!
//! Imports only go down; `tests/it/tidy.rs` lists the allowed edges and fails
//! on any other.
//!
//! 1. `main`, [`cli`]
//! 2. [`gateway`], [`agent`], [`simulate`], [`console`]
//! 3. [`app`] (holds the services), [`ui`]
//! 4. [`clusters`], [`packs`], [`tenants`], [`trail`], [`appliance`], [`doctor`], [`identity`], [`certificates`]
//! 5. [`audit`], [`vault`]
//! 6. [`rbac`], [`store`], [`bus`], [`keystore`], [`observability`], [`node`]
//! 7. [`ids`], [`clock`], [`secret`], [`error`], [`files`], [`release`], [`config`]
//!
//! # Invariants
//!
//! * axum is named in [`gateway`] only, sqlx in [`store`] only, NATS in [`bus`] only.
//! * No change without a record: both are one transaction.
//! * Every function of [`store`] takes the tenant. A foreign identifier finds nothing.
//! * A domain function asks for a [`rbac::Permit`]; only [`rbac`] makes one.
//! * Names, e-mail addresses and credentials are stored sealed or as digests.
//! * Time and randomness are dependencies; nothing decides by the wall clock.
//! * Nothing durable is on the bus: senders send again, receivers are idempotent.
//!
//! # Adding an endpoint
//!
//! 1. [`rbac`]: a permission, if none fits; review the snapshot of the roles.
//! 2. The service: one function that takes `&Permit<R>`.
//! 3. [`store`]: one function with one statement, if one is missing.
//! 4. `gateway/routes/…`: a handler of about ten lines, with its description
//!    and `x-permission`. `tests/it/coverage.rs` finds it there and calls it
//!    without a token, without a role and with identifiers of nothing.
//! 5. `tests/it/…`: success, the refusal that matters, the wrong state.
//! 6. `PALISADE_UPDATE_SNAPSHOTS=1 cargo test --test it openapi`, and read the difference.

pub mod clock;
pub mod config;
pub mod error;
pub mod files;
pub mod ids;
pub mod release;
pub mod secret;

pub mod bus;
pub mod keystore;
pub mod node;
pub mod observability;
pub mod rbac;
pub mod store;

pub mod vault;

pub mod audit;

pub mod appliance;
pub mod certificates;
pub mod clusters;
pub mod doctor;
pub mod identity;
pub mod packs;
pub mod tenants;
pub mod trail;

pub mod app;
pub mod ui;

pub mod agent;
pub mod console;
pub mod gateway;
pub mod simulate;

pub mod cli;

#[cfg(test)]
#[path = "../tests/it/small_disk.rs"]
mod small_disk;
