//! Certificates that were made for the test, read, refused and served.

mod forge;
mod handshake;
mod import;
mod info;
mod node;
