//! What can be used of answers with mistakes.
//!
//! Parts that only make sense together go together: with a wrong gateway the
//! address is not used either, and the network card asks DHCP. With a wrong
//! role nothing is started: a machine that was meant to join others must not
//! begin an installation of its own.

use super::{
    check::{Answers, check},
    given::RawAnswers,
    mistake::Mistake,
    table::Role,
};

/// What makes up a role.
const ROLE: &[&str] = &["role", "join_code", "management_url", "cluster_ipv4", "virtual_ip"];
/// Properties that are used together or not at all.
const TOGETHER: &[&[&str]] =
    &[ROLE, &["ipv4", "gateway"], &["ipv6", "gateway6"], &["http_proxy", "no_proxy"]];

/// The usable part of some answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// What can be used.
    pub answers: Answers,
    /// Everything that is wrong with the answers; empty when all was used.
    pub mistakes: Vec<Mistake>,
    /// The role that was meant, if it can be told.
    intended: Option<Role>,
}

impl Salvaged {
    /// The role that was meant, if it can be told.
    pub fn intended(&self) -> Option<Role> {
        self.intended
    }

    /// What the machine is to do now, or why it does nothing yet, as a sentence.
    pub fn role(&self) -> Result<Role, String> {
        let role = self.answers.role;
        let of_role = |mistake: &&Mistake| ROLE.contains(&mistake.key.as_str());
        match self.mistakes.iter().find(of_role) {
            // A node on its own needs nothing else of the group.
            Some(mistake) if self.intended != Some(Role::Standalone) => Err(format!(
                "The role of this machine is not clear because of {}: mend it on the console.",
                mistake.key
            )),
            _ if role.is_available() => Ok(role),
            _ => Err(format!("The role {} is not available in this version yet.", role.as_str())),
        }
    }
}

/// Takes every part of `given` that has no mistake and does not belong to one that has.
pub fn salvage(given: &RawAnswers) -> Salvaged {
    let mut usable = given.clone();
    let mut mistakes = Vec::new();
    let intended = given.get("role").map_or(Some(Role::Standalone), Role::named);
    loop {
        let found = match check(&usable) {
            Ok(answers) => return Salvaged { answers, mistakes, intended },
            Err(found) => found,
        };
        let before = usable.iter().count();
        for Mistake { key, .. } in &found {
            match TOGETHER.iter().find(|group| group.contains(&key.as_str())) {
                Some(group) => group.iter().for_each(|key| usable.remove(key)),
                None => usable.remove(key),
            }
        }
        if usable.iter().count() == before {
            // No mistake is known that is in none of the answers; without any
            // answer there is none.
            usable = RawAnswers::default();
        }
        if mistakes.is_empty() {
            mistakes = found;
        }
    }
}
