//! The steps of the member that lets a node in. Pure.

use super::{
    HandOver, Introduction, Invitation, Refusal,
    message::{self, Kind, versions_fit},
    session::{Drawn, Fingerprint, Session, Side},
};
use crate::clock::{Clock, Random};

/// `Answer` is sent; the proof of the node that joins comes next.
pub struct Receiving {
    invitation: [u8; 16],
    newcomer: Introduction,
    session: Session,
}

impl Receiving {
    /// Takes `Hello`, while an invitation is open. The message is `Answer`.
    pub fn greeted(
        invitation: Option<&Invitation>,
        own: &Introduction,
        hello: &[u8],
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(Self, Vec<u8>), Refusal> {
        let (newcomer, share) = message::read_greeting(Kind::Hello, hello)?;
        versions_fit(&newcomer, own)?;
        let invitation = invitation.ok_or(Refusal::NotInvited)?;
        invitation.check(clock)?;
        let (drawn, own_share) = Drawn::new(Side::Member, invitation.code(), random);
        let answer = message::greeting(Kind::Answer, own, &own_share);
        let session = drawn.finish(&share, hello, &answer)?;
        Ok((Self { invitation: invitation.id(), newcomer, session }, answer))
    }

    /// Takes the proof. The right one uses the invitation up, a wrong one is
    /// counted. The message proves that this member knows the code.
    pub fn proved(
        self,
        invitation: Option<&mut Invitation>,
        proof: &[u8],
        clock: &dyn Clock,
    ) -> Result<(Admitted, Vec<u8>), Refusal> {
        let proof = message::read_proof(Kind::ProofOfJoining, proof)?;
        let invitation = invitation.ok_or(Refusal::NotInvited)?;
        let proved = self.session.is_proof(Side::Joining, &proof);
        invitation.settle(self.invitation, clock, proved)?;
        let own = message::plain(Kind::ProofOfMember, &self.session.proof(Side::Member));
        Ok((Admitted { newcomer: self.newcomer, session: self.session }, own))
    }
}

/// Both sides are sure of each other; the hand-over is to be prepared.
pub struct Admitted {
    newcomer: Introduction,
    session: Session,
}

impl Admitted {
    /// What to show, for people to compare.
    pub fn fingerprint(&self) -> Fingerprint {
        self.session.fingerprint()
    }

    /// Who joins. It can be believed: whoever knows the code has said it.
    pub fn newcomer(&self) -> &Introduction {
        &self.newcomer
    }

    /// The message is the hand-over, for this node alone.
    pub fn hand_over(self, content: &HandOver, random: &dyn Random) -> (Handing, Vec<u8>) {
        let sealed = self.session.seal(&content.encode(), random);
        let message = message::plain(Kind::HandOver, &sealed);
        (Handing { newcomer: self.newcomer, session: self.session, sealed }, message)
    }
}

/// The hand-over is sent; its receipt comes next.
pub struct Handing {
    newcomer: Introduction,
    session: Session,
    sealed: Vec<u8>,
}

impl Handing {
    /// Takes the receipt: the node has all that a member needs.
    pub fn received(self, receipt: &[u8]) -> Result<Introduction, Refusal> {
        let receipt = message::read_proof(Kind::Receipt, receipt)?;
        if !self.session.is_receipt(&self.sealed, &receipt) {
            return Err(Refusal::Malformed);
        }
        Ok(self.newcomer)
    }
}
