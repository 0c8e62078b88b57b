//! Reading users: lists are searched and sorted here, after opening.

use data_encoding::BASE64URL_NOPAD;

use super::{Account, UserView, Users, find_present, open_user};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    identity::pages,
    ids::{TeamId, TenantId, UserId},
    rbac::{
        Permit,
        rights::{UserGet, UserList},
    },
    store::{self, Cursor, Key, ListQuery, Page, Tx},
    vault::Keyring,
};

const SORTS: &[&str] = &["name", "email", "state", "createdAt", "lastLoginAt"];

impl Users {
    /// Users whose name or e-mail address contains the search text, sorted by
    /// `name`, `email`, `state`, `createdAt` or `lastLoginAt`; with `state`
    /// only those in it. `Invalid` for an unknown sort key or a foreign cursor.
    pub async fn list(
        &self,
        permit: &Permit<UserList>,
        state: Option<&str>,
        list: &ListQuery,
    ) -> Result<Page<Account>> {
        let tenant = permit.tenant();
        let sort = pages::sort_key(list, SORTS)?;
        let mut tx = self.ledger.store().read().await?;
        let ring = self.ledger.vault().ring(&mut tx, tenant).await?;
        let cursor = list.cursor.as_ref().map(|cursor| open_cursor(&ring, cursor)).transpose()?;
        let list = ListQuery { cursor, ..list.clone() };
        let wanted = list.search.as_deref().unwrap_or_default().trim().to_lowercase();
        let mut found = Vec::new();
        for row in store::users::all(&mut tx, tenant).await? {
            if state.is_some_and(|state| state != row.state) {
                continue;
            }
            let user = open_user(&ring, row)?;
            if matches(&user, &wanted) {
                found.push(user);
            }
        }
        let page = pages::cut(found, &list, |user| place(user, sort))?;
        let memberships = store::teams::memberships(&mut tx, tenant).await?;
        let next = page.next.as_ref().map(|cursor| seal_cursor(&ring, cursor)).transpose()?;
        let page = page.map(|user| Account { teams: teams_of(&memberships, user.id), user });
        Ok(Page { next, ..page })
    }

    /// One user. `NotFound`, also when it was deleted.
    pub async fn get(&self, permit: &Permit<UserGet>, id: UserId) -> Result<Account> {
        let mut tx = self.ledger.store().read().await?;
        self.account(&mut tx, permit.tenant(), id).await
    }

    /// A user as the transaction sees it.
    pub(super) async fn account(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: UserId,
    ) -> Result<Account> {
        let row = find_present(tx, tenant, id).await?;
        let ring = self.ledger.vault().ring(tx, tenant).await?;
        let memberships = store::teams::memberships(tx, tenant).await?;
        Ok(Account { user: open_user(&ring, row)?, teams: teams_of(&memberships, id) })
    }
}

fn teams_of(memberships: &[(UserId, TeamId, String)], user: UserId) -> Vec<(TeamId, String)> {
    let own = memberships.iter().filter(|(member, ..)| *member == user);
    own.map(|(_, team, name)| (*team, name.clone())).collect()
}

fn matches(user: &UserView, wanted: &str) -> bool {
    user.name.to_lowercase().contains(wanted) || user.email.to_lowercase().contains(wanted)
}

fn place(user: &UserView, sort: &str) -> Cursor {
    let key = match sort {
        "email" => Key::Text(user.email.to_lowercase()),
        "state" => Key::Text(user.state.clone()),
        "createdAt" => Key::Int(user.created_at.as_micros()),
        // Who has never logged in comes before everybody who has.
        "lastLoginAt" => Key::Int(user.last_login_at.map_or(0, Timestamp::as_micros)),
        _ => Key::Text(user.name.to_lowercase()),
    };
    Cursor { key, id: user.id.to_string() }
}

/// A cursor travels in URLs, which end up in logs of proxies: the name or
/// e-mail address in it is sealed like everywhere else outside of memory.
fn seal_cursor(ring: &Keyring, cursor: &Cursor) -> Result<Cursor> {
    let plain = serde_json::to_vec(&cursor.key).map_err(Error::internal)?;
    let sealed = ring.seal("app_user", "cursor", &cursor.id, &plain);
    Ok(Cursor { key: Key::Text(BASE64URL_NOPAD.encode(&sealed)), id: cursor.id.clone() })
}

fn open_cursor(ring: &Keyring, cursor: &Cursor) -> Result<Cursor> {
    let open = || {
        let Key::Text(sealed) = &cursor.key else { return None };
        let sealed = BASE64URL_NOPAD.decode(sealed.as_bytes()).ok()?;
        let plain = ring.open("app_user", "cursor", &cursor.id, &sealed).ok()?;
        serde_json::from_slice(plain.expose()).ok()
    };
    let key = open().ok_or_else(|| Error::invalid("cursor", "is not a cursor of this list"))?;
    Ok(Cursor { key, id: cursor.id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemRandom, ids::Uid};

    fn user(name: &str, email: &str, last_login: Option<i64>) -> UserView {
        UserView {
            id: UserId(Uid::random(&SystemRandom)),
            email: email.to_owned(),
            name: name.to_owned(),
            state: "active".to_owned(),
            last_login_at: last_login.map(Timestamp::from_seconds),
            created_at: Timestamp::from_seconds(100),
            version: 1,
        }
    }

    fn names(sort: &str, descending: bool) -> Vec<String> {
        let users = vec![
            user("Mia", "b@example.org", None),
            user("ada", "C@example.org", Some(20)),
            user("Zoe", "a@example.org", Some(10)),
        ];
        let list = ListQuery { descending, ..ListQuery::default() };
        let page = pages::cut(users, &list, |user| place(user, sort)).unwrap();
        page.items.into_iter().map(|user| user.name).collect()
    }

    #[test]
    fn users_are_sorted_by_their_opened_names_whatever_the_case() {
        assert_eq!(names("name", false), ["ada", "Mia", "Zoe"]);
        assert_eq!(names("name", true), ["Zoe", "Mia", "ada"]);
        assert_eq!(names("email", false), ["Zoe", "Mia", "ada"]);
    }

    #[test]
    fn who_has_never_logged_in_comes_first() {
        assert_eq!(names("lastLoginAt", false), ["Mia", "Zoe", "ada"]);
    }

    #[test]
    fn the_search_looks_at_name_and_address_in_any_case() {
        let ada = user("Ada Lovelace", "countess@Example.ORG", None);
        for text in ["lace", "countess", "example.org", ""] {
            assert!(matches(&ada, text), "{text:?} was not found");
        }
        assert!(!matches(&ada, "babbage"));
    }
}
