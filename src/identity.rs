//! Users, sessions and credentials.
