//! Asking one name server, past every cache and every file of hosts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

use crate::clock::{Random, SystemRandom, random_bytes};

/// What a server knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Its addresses; none when the name has none of the kind, or is unknown.
    Addresses(Vec<IpAddr>),
    /// It answers, and has no answer for us: its code.
    Refused(u8),
}

const A: u16 = 1;
const AAAA: u16 = 28;

/// All addresses of a name, as the server at `server` knows them.
pub(super) async fn ask(server: SocketAddr, name: &str, limit: Duration) -> Result<Reply, String> {
    let (four, six) =
        tokio::join!(ask_kind(server, name, A, limit), ask_kind(server, name, AAAA, limit));
    match (four, six) {
        (Ok(Reply::Addresses(mut all)), Ok(Reply::Addresses(six))) => {
            all.extend(six);
            Ok(Reply::Addresses(all))
        }
        (Ok(reply), _) | (Err(_), Ok(reply)) => Ok(reply),
        (Err(why), Err(_)) => Err(why),
    }
}

async fn ask_kind(
    server: SocketAddr,
    name: &str,
    kind: u16,
    limit: Duration,
) -> Result<Reply, String> {
    let random: &dyn Random = &SystemRandom;
    let id = u16::from_be_bytes(random_bytes(random));
    let question = question(id, name, kind).ok_or_else(|| format!("{name} is no name"))?;
    let exchange = async {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        socket.send(&question).await?;
        let mut buffer = [0_u8; 4096];
        loop {
            let length = socket.recv(&mut buffer).await?;
            if let Some(reply) = read(&buffer[..length], id, kind) {
                return Ok::<_, std::io::Error>(reply);
            }
        }
    };
    match timeout(limit, exchange).await {
        Ok(reply) => reply.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer in {} s", limit.as_secs_f32())),
    }
}

fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut message = id.to_be_bytes().to_vec();
    // Recursion desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    Some(message)
}

/// Reads an answer to our question; `None` for anything else.
fn read(message: &[u8], id: u16, kind: u16) -> Option<Reply> {
    let two = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let is_answer = message.get(2)? & 0x80 != 0;
    if two(0)? != id || !is_answer {
        return None;
    }
    match message.get(3)? & 0x0f {
        // No error; no such name.
        0 | 3 => {}
        code => return Some(Reply::Refused(code)),
    }
    let (questions, answers) = (two(4)?, two(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        at = after_name(message, at)?;
        let (found, length) = (two(at)?, usize::from(two(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if found == kind {
            let four = <[u8; 4]>::try_from(data).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
            let six = <[u8; 16]>::try_from(data).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
            addresses.extend(four.or(six).ok());
        }
        at += 10 + length;
    }
    Some(Reply::Addresses(addresses))
}

/// Where a name ends: at a zero, or with a pointer.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn server(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = [0_u8; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        address
    }

    /// An alias first, then an address, for questions of one kind.
    fn with_records(question: &[u8]) -> Vec<u8> {
        let kind = question[question.len() - 3];
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[7] = 2;
        answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9]);
        if kind == 1 {
            answer.extend([0, 4, 192, 0, 2, 7]);
        } else {
            answer.extend([0, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        }
        answer
    }

    #[tokio::test]
    async fn addresses_of_both_kinds_are_found_behind_an_alias() {
        let server = server(|question| Some(with_records(question))).await;
        let reply = ask(server, "palisade.example.com", LIMIT).await;
        let expected = ["192.0.2.7", "2001:db8::7"].map(|a| a.parse().expect("an address"));
        assert_eq!(reply, Ok(Reply::Addresses(expected.to_vec())));
    }

    #[tokio::test]
    async fn no_such_name_is_an_answer_and_a_refusal_is_told() {
        let coded = |code: u8| {
            move |question: &[u8]| {
                let mut answer = question.to_vec();
                answer[2] |= 0x80;
                answer[3] = code;
                Some(answer)
            }
        };
        let unknown = server(coded(3)).await;
        assert_eq!(ask(unknown, "a.example", LIMIT).await, Ok(Reply::Addresses(Vec::new())));
        let refusing = server(coded(5)).await;
        assert_eq!(ask(refusing, "a.example", LIMIT).await, Ok(Reply::Refused(5)));
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up_and_foreign_answers_do_not_count() {
        let foreign = server(|question| {
            let mut answer = question.to_vec();
            answer[0] ^= 1;
            answer[2] |= 0x80;
            Some(answer)
        })
        .await;
        let limit = Duration::from_millis(300);
        let reply = ask(foreign, "a.example", limit).await;
        assert!(reply.is_err_and(|why| why.starts_with("no answer")));
    }

    #[test]
    fn a_cut_answer_is_none() {
        let question = question(7, "a.example", A).expect("a question");
        let whole = with_records(&question);
        assert!(read(&whole, 7, A).is_some());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length], 7, A), None, "{length}");
        }
    }
}
