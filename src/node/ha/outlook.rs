//! What the state of the nodes means for an operator. Pure.
//!
//! Owns: how many nodes have to agree, and what would happen if one stopped.
//! Must not know: how the state was found out.

use super::{engines::DatabaseRole, members::NodeName};

/// What counts of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: NodeName,
    /// Whether its etcd answers.
    pub votes: bool,
    /// What its database is, while that works.
    pub database: Option<DatabaseRole>,
    /// Whether its management plane is ready.
    pub ready: bool,
}

/// How many of so many nodes have to agree.
pub fn needed(members: usize) -> usize {
    members / 2 + 1
}

/// What would happen if this node stopped now, as a sentence.
pub fn if_stopped(name: &NodeName, all: &[Seen]) -> String {
    let Some(own) = all.iter().find(|seen| seen.name == *name) else {
        return "It is no member.".to_owned();
    };
    let others: Vec<_> = all.iter().filter(|seen| seen.name != *name).collect();
    if others.is_empty() {
        return "Everything would stop until it is back: it is the only node.".to_owned();
    }
    let needed = needed(all.len());
    let left = others.iter().filter(|seen| seen.votes).count();
    if left < needed {
        return format!(
            "No change could be made until it is back: {left} of {} nodes would be left, and \
             {needed} have to agree.",
            all.len()
        );
    }
    if !others.iter().any(|seen| seen.ready) {
        return "Nobody could use the management plane until another node is ready.".to_owned();
    }
    let leads = own.database == Some(DatabaseRole::Leader);
    let standbys = others.iter().filter(|seen| seen.database == Some(DatabaseRole::Synchronous));
    let standbys = standbys.count();
    if leads {
        return match standbys {
            0 => "No change could be made until it is back: no other database has everything."
                .to_owned(),
            1 => "Changes would pause for about 20 seconds, until another database leads. That \
                  one would then need this node back, or a third, before it takes changes again."
                .to_owned(),
            _ => {
                "Changes would pause for about 20 seconds, until another database leads.".to_owned()
            }
        };
    }
    if standbys == 0 && own.database == Some(DatabaseRole::Synchronous) {
        return "No change could be made until another standby follows: this one is the only one."
            .to_owned();
    }
    "Nothing would stop. Another failure after it would.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ha::members::tests::name;

    fn seen(number: u8, database: Option<DatabaseRole>) -> Seen {
        Seen {
            name: name(&format!("n{number}")),
            votes: database.is_some(),
            database,
            ready: database.is_some(),
        }
    }

    #[test]
    fn what_would_happen_follows_from_who_is_left() {
        use DatabaseRole::{Leader, Replica, Synchronous};
        let (leader, standby) = (Some(Leader), Some(Synchronous));
        for (states, stopped, expected) in [
            (
                [leader, standby, standby],
                1,
                "Changes would pause for about 20 seconds, until another database leads.",
            ),
            ([leader, standby, standby], 2, "Nothing would stop."),
            ([leader, standby, Some(Replica)], 1, "That one would then need this node back"),
            ([leader, standby, Some(Replica)], 2, "this one is the only one"),
            ([leader, standby, None], 1, "1 of 3 nodes would be left, and 2 have to agree"),
            ([leader, standby, None], 2, "1 of 3 nodes would be left"),
            ([leader, standby, None], 3, "Nothing would stop."),
            ([leader, Some(Replica), Some(Replica)], 1, "no other database has everything"),
        ] {
            let all: Vec<_> =
                (1..).zip(states).map(|(number, state)| seen(number, state)).collect();
            let text = if_stopped(&name(&format!("n{stopped}")), &all);
            assert!(text.contains(expected), "{states:?} without {stopped}: {text}");
        }
        let alone = if_stopped(&name("n1"), &[seen(1, leader)]);
        assert!(alone.contains("the only node"), "{alone}");
        let mut all = [leader, standby, standby].map(|state| seen(1, state));
        for (number, seen) in (1..).zip(&mut all) {
            seen.name = name(&format!("n{number}"));
            seen.ready = number == 1;
        }
        assert!(if_stopped(&name("n1"), &all).contains("Nobody could use"));
    }

    #[test]
    fn more_than_half_have_to_agree() {
        assert_eq!([1, 2, 3, 4, 5].map(needed), [1, 2, 2, 3, 3]);
    }
}
