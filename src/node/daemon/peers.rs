//! Who is asking, by the kernel's word, and what he may ask.

use crate::node::{accounts, ha::members::NodeName, paths::Paths, protocol::Need};

/// The management plane's account.
const MANAGEMENT_PLANE: &str = "palisade";
/// The screen's account.
const CONSOLE: &str = "palisade-console";
/// Whoever comes over SSH with the operator's key.
const ADMIN: &str = "admin";
/// Whoever is in this group can reach the socket.
const GROUP: &str = "palisade-node";

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// root, who could do everything without us.
    Root,
    /// The management plane, which has checked its own permit.
    ManagementPlane,
    /// A person in front of the machine or its screen over SSH, or a picture of it.
    Console,
    /// Another node of the cluster, by its certificate.
    Member(NodeName),
    /// Anybody else.
    Stranger,
}

/// What a request needs from its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Allowed,
    /// Go on when the person has proved to hold this permission.
    WithCredentials(&'static str),
    /// Not for this caller.
    Refused,
}

/// Whether `peer` may ask for something with this need; `set_up`: whether the
/// installation has administrators who could prove who they are.
pub(super) fn verdict(peer: &Peer, need: Need, set_up: bool) -> Verdict {
    match (peer, need) {
        (Peer::Console, Need::Change { permission, .. }) if set_up => {
            Verdict::WithCredentials(permission)
        }
        (
            Peer::Root | Peer::ManagementPlane,
            Need::Read | Need::Change { .. } | Need::ManagementPlane,
        )
        | (Peer::Console, Need::Read | Need::Change { .. })
        | (Peer::Member(_), Need::Member) => Verdict::Allowed,
        (Peer::Console, Need::ManagementPlane)
        | (Peer::Stranger | Peer::Member(_), _)
        | (_, Need::Member) => Verdict::Refused,
    }
}

impl Peer {
    /// The word in the record.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Root => "root",
            Self::ManagementPlane => "managementPlane",
            Self::Console => "console",
            Self::Stranger => "stranger",
        }
    }
}

/// The accounts of this machine that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The user of the management plane.
    pub management_plane: Option<u32>,
    /// The screen's user.
    pub console: Option<u32>,
    /// Who starts a screen of his own over SSH.
    pub admin: Option<u32>,
    /// The group that can reach the socket.
    pub group: Option<u32>,
}

impl Accounts {
    /// As the machine's files have them; they are part of the image.
    pub fn read(paths: &Paths) -> Self {
        let user = |name| accounts::user(paths, name).map(|(user, _)| user);
        Self {
            management_plane: user(MANAGEMENT_PLANE),
            console: user(CONSOLE),
            admin: user(ADMIN),
            group: accounts::group(paths, GROUP),
        }
    }

    /// Who has this number. Where one number has several names, the name that
    /// may least counts.
    pub fn peer(&self, uid: u32) -> Peer {
        if [self.console, self.admin].contains(&Some(uid)) {
            return Peer::Console;
        }
        if self.management_plane == Some(uid) {
            return Peer::ManagementPlane;
        }
        if uid == 0 { Peer::Root } else { Peer::Stranger }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const READ: Need = Need::Read;
    const CHANGE: Need = Need::Change { action: "node.reboot", permission: "platform.update" };
    const PLANE: Need = Need::ManagementPlane;
    const MEMBER: Need = Need::Member;

    #[test]
    fn who_may_ask_what() {
        use Verdict::{Allowed, Refused, WithCredentials};
        let asked = WithCredentials("platform.update");
        let member = Peer::Member("n2".parse().expect("a name"));
        let (all, none) = ([Allowed, Allowed, Allowed, Refused], [Refused; 4]);
        let others = [Refused, Refused, Refused, Allowed];
        for (peer, before, after) in [
            (Peer::Root, all, all),
            (Peer::ManagementPlane, all, all),
            (
                Peer::Console,
                [Allowed, Allowed, Refused, Refused],
                [Allowed, asked, Refused, Refused],
            ),
            (Peer::Stranger, none, none),
            (member, others, others),
        ] {
            let of =
                |set_up| [READ, CHANGE, PLANE, MEMBER].map(|need| verdict(&peer, need, set_up));
            assert_eq!(of(false), before, "{peer:?} before set-up is complete");
            assert_eq!(of(true), after, "{peer:?} afterwards");
        }
    }

    #[test]
    fn accounts_are_read_from_the_machine_and_anybody_else_is_a_stranger() {
        let place = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(place.path());
        fs::create_dir_all(paths.at("/etc")).expect("made");
        let users = "root:x:0:0::/root:/bin/sh\npalisade:x:900:901::/:/bin/false\n\
                     palisade-console:x:902:903::/:/bin/false\n\
                     admin:x:1000:1000::/:/bin/bash\npalisade-else:x:7:7::/:/\n";
        fs::write(paths.at("/etc/passwd"), users).expect("written");
        fs::write(paths.at("/etc/group"), "root:x:0:\npalisade-node:x:904:\n").expect("written");
        let accounts = Accounts::read(&paths);
        assert_eq!(accounts.group, Some(904));
        assert_eq!(accounts.management_plane, Some(900));
        for (uid, peer) in [
            (0, Peer::Root),
            (900, Peer::ManagementPlane),
            (902, Peer::Console),
            (7, Peer::Stranger),
            (1000, Peer::Console),
            (1001, Peer::Stranger),
            (u32::MAX, Peer::Stranger),
        ] {
            assert_eq!(accounts.peer(uid), peer, "{uid}");
        }
        assert_eq!(Accounts::default().peer(902), Peer::Stranger);
    }
}
