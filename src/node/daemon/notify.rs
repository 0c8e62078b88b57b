//! Telling the service manager that the daemon is ready.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The daemon listens.
pub(super) fn ready(socket: Option<&OsStr>) {
    tell(socket, "READY=1");
}

/// The daemon is about to end.
pub(super) fn stopping(socket: Option<&OsStr>) {
    tell(socket, "STOPPING=1");
}

fn tell(socket: Option<&OsStr>, state: &str) {
    let Some(socket) = socket else { return };
    if let Err(error) = send(socket, state) {
        tracing::warn!(%error, "the service manager cannot be told: {state}");
    }
}

/// A name that starts with `@` is one of the kernel's own name space.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.connect_addr(&address)?;
    sender.send(state.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("notify");
        let name = format!("palisade-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        for (receiver, told) in [
            (UnixDatagram::bind(&path), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name), format!("@{name}").into()),
        ] {
            let receiver = receiver.expect("bound");
            ready(Some(&told));
            let mut bytes = [0; 32];
            let length = receiver.recv(&mut bytes).expect("told");
            assert_eq!(&bytes[..length], b"READY=1");
        }
    }
}
