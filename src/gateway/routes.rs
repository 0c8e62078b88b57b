//! One file per resource: its views, its handlers and `routes()`.

pub(super) mod agents;
pub(super) mod api_keys;
pub(super) mod assignments;
pub(super) mod audit;
pub(super) mod auth;
pub(super) mod authority;
pub(super) mod clusters;
pub(super) mod context;
pub(super) mod events;
pub(super) mod health;
pub(super) mod health_checks;
pub(super) mod nodes;
pub(super) mod overview;
pub(super) mod passwords;
pub(super) mod platform;
pub(super) mod projects;
pub(super) mod registry;
pub(super) mod roles;
pub(super) mod settings;
pub(super) mod setup;
pub(super) mod teams;
pub(super) mod tenants;
pub(super) mod ui;
pub(super) mod updates;
pub(super) mod users;

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Page;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListView<T> {
    /// The rows.
    pub(super) items: Vec<T>,
    /// For the parameter `cursor` of the next page; absent on the last page.
    pub(super) next_cursor: Option<String>,
    /// How many rows match in all.
    pub(super) total: u32,
}

impl<T, V: From<T>> From<Page<T>> for ListView<V> {
    fn from(page: Page<T>) -> Self {
        Self {
            items: page.items.into_iter().map(V::from).collect(),
            next_cursor: page.next.as_ref().map(crate::store::Cursor::encode),
            total: page.total,
        }
    }
}

/// For garde: a name of spaces is no name, and control characters are no text.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde hands its context over like this")]
pub(super) fn not_blank(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    if text.chars().any(char::is_control) {
        return Err(garde::Error::new("must not contain control characters"));
    }
    Ok(())
}
