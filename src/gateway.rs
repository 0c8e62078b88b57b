//! The gateway: the only module that names axum.
//!
//! Owns: TLS termination, the envelope around every request (identity, limits,
//! headers, log line), extracting and validating input, mapping errors to
//! HTTP, the routes and the OpenAPI document made from them.
//! Must not know: SQL, NATS, or how anything is decided. A handler extracts,
//! calls one service, and responds.
//!
//! A request passes: [`server`] (TLS) → [`envelope`] → `router` → a handler
//! whose [`extract::Allowed`] has built the permit.

mod bus;
mod connections;
mod cookies;
mod counted;
mod envelope;
mod extract;
mod hosts;
mod idempotency;
mod limits;
mod openapi;
mod respond;
mod router;
mod routes;
mod schemas;
mod server;

pub use openapi::document;
pub use router::router;
pub use server::Server;
