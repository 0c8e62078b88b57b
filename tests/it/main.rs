//! The only integration-test binary: the whole application over real HTTPS,
//! with real peers, one file for each area.

mod app;
mod audit;
mod certificate;
mod client;
mod config;
mod coverage;
mod fleet;
mod http;
mod openapi;
mod people;
mod projects;
mod sessions;
mod setup;
mod simulate;
mod takeover;
mod tidy;
