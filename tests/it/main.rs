//! The only integration-test binary: the whole application over real HTTPS,
//! with real peers, one file for each area.

mod app;
mod client;
mod config;
mod coverage;
mod http;
mod openapi;
mod projects;
mod sessions;
mod setup;
mod tidy;
