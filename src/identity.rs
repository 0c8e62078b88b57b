//! Users, sessions and credentials.
//!
//! Owns: who somebody is, how that is proven, and what follows from it: logins,
//! sessions, users, teams, roles, API keys.
//! Must not know: HTTP, SQL, or what the permissions protect.
//!
//! Start at [`Login::login`] and [`Sessions::authenticate`].

pub mod email;
pub mod one_time;
pub mod password;
pub mod policy;
pub mod throttle;
pub mod tokens;

mod block_list;
mod caller;
mod login;
mod names;
mod newcomers;
mod policies;
mod rights;
mod sessions;
mod setup;
mod users;

pub use caller::Caller;
pub use login::{Door, Login, LoginOutcome};
pub use names::Names;
pub use newcomers::{INVITATION_LIFE, Invitation, NewUser, Newcomer, Newcomers, Prepared};
pub use one_time::{ApiKeySecret, OneTimeSecret, Purpose, SetupCode};
pub use password::{Hasher, Peppers};
pub use policies::{Policies, StoredPolicy, stale};
pub use policy::PasswordPolicy;
pub use rights::{RoleRights, find_role, load_grants, parse_permissions};
pub use sessions::{SessionLimits, Sessions, SignedIn};
pub use setup::{FirstAdmin, Setup, SetupDone};
pub use throttle::Throttle;
pub use tokens::{AccessTokens, TokenKeys};
pub use users::{UserView, Users, open_user};
