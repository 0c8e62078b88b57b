//! A user's session between two commands.
//!
//! Owns: when the access token is renewed, and that one refresh token is used
//! by one command only.
//! Must not know: what the session is used for.
//!
//! A refresh token works once; a second use looks like theft and ends the
//! session. So renewing happens under the lock of [`Home`], starts from what is
//! on disk then, and the new tokens are on disk before the lock is released.

use std::{cell::RefCell, time::Duration};

use serde::Deserialize;
use serde_json::json;

use super::{
    client::{Api, Credential, unexpected},
    failure::{Exit, Failure, Result},
    home::{Home, Kept, Login},
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    secret::Secret,
};

/// A token that ends sooner than this is renewed before it is used.
const MARGIN: Duration = Duration::from_secs(20);

/// Tokens as the API gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    access_token: Secret<String>,
    refresh_token: Secret<String>,
    expires_at: Timestamp,
}

impl From<Tokens> for Kept {
    fn from(tokens: Tokens) -> Self {
        Self::Session {
            access_token: tokens.access_token,
            expires_at: tokens.expires_at,
            refresh_token: tokens.refresh_token,
        }
    }
}

impl Tokens {
    /// The tokens of a login's answer.
    pub(super) fn of(answer: &serde_json::Value) -> Result<Self> {
        let tokens = answer.get("tokens").cloned().unwrap_or_default();
        serde_json::from_value(tokens).map_err(|_| unexpected("there are no tokens in it"))
    }

    /// A credential for the next requests of this command.
    pub(super) fn bearer(&self) -> Credential {
        Credential::Bearer(self.access_token.clone())
    }
}

/// The session that `palisade login` began.
#[derive(Debug)]
pub(super) struct Session {
    home: Home,
    login: RefCell<Login>,
}

impl Session {
    pub(super) fn new(home: Home, login: Login) -> Self {
        Self { home, login: RefCell::new(login) }
    }

    /// An access token that is good for a while.
    pub(super) async fn token(&self, api: &Api) -> Result<Secret<String>> {
        let (token, fresh) = self.current()?;
        if fresh {
            return Ok(token);
        }
        self.renew(api, &token).await?;
        Ok(self.current()?.0)
    }

    fn current(&self) -> Result<(Secret<String>, bool)> {
        match &self.login.borrow().credential {
            Kept::Session { access_token, expires_at, .. } => {
                Ok((access_token.clone(), *expires_at > SystemClock.now().plus(MARGIN)))
            }
            Kept::ApiKey { .. } => Err(ended(&api_url(&self.login))),
        }
    }

    /// Renews the tokens, unless another command has renewed `stale` meanwhile.
    pub(super) async fn renew(&self, api: &Api, stale: &Secret<String>) -> Result<()> {
        let _alone = self.home.lock().await?;
        let url = api_url(&self.login);
        let found = self.home.load()?.filter(|found| found.url == url);
        let Some(found) = found else { return Err(ended(&url)) };
        let Kept::Session { access_token, refresh_token, .. } = &found.credential else {
            return Err(ended(&url));
        };
        if access_token.expose() != stale.expose() {
            *self.login.borrow_mut() = found;
            return Ok(());
        }
        let body = json!({"refreshToken": refresh_token.expose(), "bearer": true});
        let anonymous = api.anonymous();
        // Boxed, because every request may need this one.
        let refreshed = Box::pin(anonymous.post_once("/v1/auth/refresh", &body)).await;
        let answer = refreshed.map_err(|failure| {
            if failure.exit() == Exit::NotAllowed { ended(&url) } else { failure }
        })?;
        let next = found.with(Tokens::of(&answer)?.into());
        self.home.save(&next)?;
        *self.login.borrow_mut() = next;
        Ok(())
    }
}

fn api_url(login: &RefCell<Login>) -> String {
    login.borrow().url.clone()
}

fn ended(url: &str) -> Failure {
    Failure::new(Exit::NotAllowed, format!("The session at {url} has ended."))
        .with_code("session-ended")
        .with_hint("Log in again: `palisade login`.")
}
