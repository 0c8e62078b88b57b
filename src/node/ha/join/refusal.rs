//! Why a join ends without a new member.

use serde::{Deserialize, Serialize};

use crate::release::Version;

/// What, why, and what to do. The serialised form is what a member tells a
/// node that it refuses; it is not protected by anything, so it is only shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Refusal {
    /// The proof does not fit.
    #[error(
        "the two nodes do not have the same join code, or somebody has altered their messages; \
         compare the code with the first node's screen ({tries_left} tries are left)"
    )]
    WrongCode {
        /// How many more the member bears.
        tries_left: u8,
    },
    /// The member does not know the code. Seen by the node that joins.
    #[error(
        "whoever answers at this address does not know the join code, or somebody has altered \
         its messages; check the address, and make a new code on the first node"
    )]
    Impostor,
    /// It was open for too long.
    #[error("the join code has expired; make a new one on the first node")]
    Expired,
    /// Somebody has joined with it.
    #[error(
        "the join code has been used; if that was not this node, find out who joined, and make \
         a new code on the first node"
    )]
    Used,
    /// It was guessed at.
    #[error("too many wrong codes were tried; make a new join code on the first node")]
    TooManyTries,
    /// Nobody has asked for a code.
    #[error("no join code is open; make one on the first node")]
    NotInvited,
    /// Its messages are of another form.
    #[error(
        "the node that joins speaks form {joining} of the join protocol and the cluster form \
         {cluster}; bring both to the same release of Palisade"
    )]
    Protocol {
        /// What the new node speaks.
        joining: u16,
        /// What the members speak.
        cluster: u16,
    },
    /// The releases cannot work on the same data.
    #[error(
        "the node that joins runs Palisade {joining} and the cluster {cluster}, which cannot \
         work together; bring the new node to {cluster}"
    )]
    Versions {
        /// What the new node runs.
        joining: Version,
        /// What the members run.
        cluster: Version,
    },
    /// The members cannot take it.
    #[error("the cluster cannot take this node: {why}")]
    NotAMember {
        /// As a sentence.
        why: String,
    },
    /// What arrived is no message of this step.
    #[error(
        "what arrived is not the message that was expected; check the address, and whether \
         both nodes run the same release"
    )]
    Malformed,
    /// What was handed over does not open or does not fit.
    #[error(
        "what the member handed over was altered on its way or is not for this node; make a \
         new join code on the first node"
    )]
    BadHandOver,
    /// The member could not prepare what it hands over.
    #[error("the member could not let this node in: {why}")]
    Failed {
        /// As a sentence.
        why: String,
    },
    /// The connection ended.
    #[error("the connection to the other node was lost; check the network and start again")]
    Disconnected,
    /// The other side was silent for too long.
    #[error("the other node did not answer in time; check that it is there and start again")]
    TimedOut,
    /// The other side has said so.
    #[error("the first node refuses: {0}")]
    #[serde(skip)]
    Told(Box<Refusal>),
}
