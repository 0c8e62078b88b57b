//! The only integration-test binary: the whole application over real HTTPS,
//! with real peers, one file for each area.

mod app;
mod audit;
mod certificate;
mod cli;
mod cli_terminal;
mod client;
mod config;
mod coverage;
mod crash;
mod doctor;
mod engines;
mod first_boot;
mod fleet;
mod guards;
mod http;
mod keys;
mod kube;
mod matrix;
mod node;
mod openapi;
mod operations;
mod peers;
mod people;
mod postgres;
mod primary;
mod process;
mod projects;
mod secrets;
mod sessions;
mod setup;
mod simulate;
mod takeover;
mod tidy;
mod updates;
mod updates_api;
