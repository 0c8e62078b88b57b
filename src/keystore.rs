//! The keystore.
