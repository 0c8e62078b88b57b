//! How long a login lasts.

use super::{
    setting::section,
    value::{Hours, Minutes},
};

section! {
    /// How long a login lasts.
    pub struct Session in "session";

    /// The life of an access token. Logging out and losing a role take effect at once all the same.
    access_minutes: Minutes = 15 where 1..=60;
    /// How long a session lasts at most, however busy it is.
    refresh_hours: Hours = 12 where 1..=720;
    /// How long a session lasts without any request. At least the life of an access token.
    idle_minutes: Minutes = 60 where 5..=43_200;
}
