//! The internal CA and the server certificate.
