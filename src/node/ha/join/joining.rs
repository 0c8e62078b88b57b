//! The steps of the node that joins. Each takes the message that arrived and
//! gives the one to send; a refusal ends the exchange. Pure.

use super::{
    HandOver, Introduction, JoinCode, Refusal,
    message::{self, Kind, versions_fit},
    session::{Drawn, Fingerprint, Session, Side},
};
use crate::clock::Random;

/// `Hello` is sent; `Answer` comes next.
pub struct Joining {
    own: Introduction,
    hello: Vec<u8>,
    drawn: Drawn,
}

impl Joining {
    /// Begins. The message is `Hello`.
    pub fn start(code: &JoinCode, own: Introduction, random: &dyn Random) -> (Self, Vec<u8>) {
        let (drawn, share) = Drawn::new(Side::Joining, code, random);
        let hello = message::greeting(Kind::Hello, &own, &share);
        (Self { own, hello: hello.clone(), drawn }, hello)
    }

    /// Takes `Answer`. The message proves that this node knows the code.
    pub fn answered(self, answer: &[u8]) -> Result<(Proving, Vec<u8>), Refusal> {
        let (member, share) = message::read_greeting(Kind::Answer, answer)?;
        versions_fit(&self.own, &member)?;
        let session = self.drawn.finish(&share, &self.hello, answer)?;
        let proof = message::plain(Kind::ProofOfJoining, &session.proof(Side::Joining));
        Ok((Proving { own: self.own, member, session }, proof))
    }
}

/// The proof is sent; the member's comes next.
pub struct Proving {
    own: Introduction,
    member: Introduction,
    session: Session,
}

impl Proving {
    /// Takes the member's proof.
    pub fn proved(self, proof: &[u8]) -> Result<Waiting, Refusal> {
        let proof = message::read_proof(Kind::ProofOfMember, proof)?;
        if !self.session.is_proof(Side::Member, &proof) {
            return Err(Refusal::Impostor);
        }
        Ok(Waiting { own: self.own, member: self.member, session: self.session })
    }
}

/// Both sides are sure of each other; the hand-over comes next.
pub struct Waiting {
    own: Introduction,
    member: Introduction,
    session: Session,
}

impl Waiting {
    /// What to show, for people to compare.
    pub fn fingerprint(&self) -> Fingerprint {
        self.session.fingerprint()
    }

    /// Who lets this node in.
    pub fn member(&self) -> &Introduction {
        &self.member
    }

    /// Takes the hand-over. The message tells the member that it has arrived.
    pub fn received(self, hand_over: &[u8]) -> Result<(Joined, Vec<u8>), Refusal> {
        let sealed = message::body(Kind::HandOver, hand_over)?;
        let plain = self.session.open(sealed).ok_or(Refusal::BadHandOver)?;
        let content = HandOver::decode(plain.expose(), self.own.address)?;
        let receipt = message::plain(Kind::Receipt, &self.session.receipt(sealed));
        let fingerprint = self.fingerprint();
        Ok((Joined { hand_over: content, member: self.member, fingerprint }, receipt))
    }
}

/// The node is a member.
#[derive(Debug)]
pub struct Joined {
    /// What it was given.
    pub hand_over: HandOver,
    /// Who has let it in.
    pub member: Introduction,
    /// What both sides have shown.
    pub fingerprint: Fingerprint,
}
