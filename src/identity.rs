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

mod administrators;
mod api_keys;
mod assignments;
mod block_list;
mod caller;
mod delegation;
mod explain;
mod login;
mod names;
mod newcomers;
mod pages;
mod passwords;
mod policies;
mod recovery;
mod rights;
mod roles;
mod sessions;
mod setup;
mod signing;
mod teams;
mod users;

pub use administrators::administrator_role;
pub use api_keys::{ApiKey, ApiKeys, CreatedApiKey, NewApiKey};
pub use assignments::{Assignment, Assignments, NewAssignment, Subject};
pub use caller::Caller;
pub use explain::{Able, Explain, Explanation, Question, Reason, Via};
pub use login::{Door, Login, LoginOutcome};
pub use names::Names;
pub use newcomers::{INVITATION_LIFE, Invitation, NewUser, Newcomer, Newcomers, Prepared};
pub use one_time::{ApiKeySecret, OneTimeSecret, Purpose, SetupCode};
pub use password::{Hasher, Peppers};
pub use passwords::{Invited, Passwords};
pub use policies::{Policies, StoredPolicy, stale};
pub use policy::PasswordPolicy;
pub use recovery::{RecoveryLink, recover_administrator};
pub use rights::{RoleRights, find_role, load_grants, parse_permissions};
pub use roles::{NewRole, Role, RoleChange, Roles};
pub use sessions::{SessionLimits, Sessions, SignedIn};
pub use setup::{FirstAdmin, Setup, SetupDone};
pub use signing::SigningKeys;
pub use teams::{NewTeam, TeamChange, TeamWithMembers, Teams};
pub use throttle::Throttle;
pub use tokens::{AccessTokens, TokenKeys};
pub use users::{Account, CreatedUser, InviteToken, UserChange, UserView, Users, open_user};
