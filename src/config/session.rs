//! How long a login lasts.

use super::{
    setting::section,
    value::{Hours, Minutes},
};

section! {
    /// How long a login lasts.
    pub struct Session in "session";

    /// How long a session lasts at most, however busy it is.
    refresh_hours: Hours = 12 where 1..=720;
    /// How long a session lasts without any request. At least
    /// the quarter of an hour that an access token lives.
    idle_minutes: Minutes = 60 where 15..=43_200;
}
