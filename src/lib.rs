//! Palisade: the architecture of the code.
//!
//! One static binary manages fleets of Kubernetes clusters from behind the
//! firewall. This page is the map; every module's own page says what it owns
//! and what it must not know.

pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod secret;

pub mod bus;
pub mod keystore;
pub mod observability;
pub mod rbac;
pub mod store;

pub mod vault;

pub mod audit;

pub mod appliance;
pub mod certificates;
pub mod clusters;
pub mod identity;
pub mod tenants;
pub mod trail;

pub mod app;
pub mod ui;

pub mod agent;
pub mod gateway;
pub mod simulate;

pub mod cli;
