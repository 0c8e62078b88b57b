//! Asking a time server how late it is.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::UdpSocket, time::timeout};

use crate::clock::{Clock, Timestamp};

/// Seconds from 1900, where the protocol begins, to 1970.
const SINCE_1900: i64 = 2_208_988_800;

/// By how many seconds our clock is slow, as the server at `server` sees it.
pub(super) async fn offset(
    server: SocketAddr,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<f64, String> {
    let exchange = async {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        // Version 4, a client.
        let mut message = [0_u8; 48];
        message[0] = 0x23;
        let sent = clock.now();
        message[40..48].copy_from_slice(&wire(sent));
        socket.send(&message).await?;
        let mut answer = [0_u8; 512];
        loop {
            let length = socket.recv(&mut answer).await?;
            let received = clock.now();
            if let Some(offset) = read(&answer[..length], wire(sent), sent, received) {
                return Ok::<_, std::io::Error>(offset);
            }
        }
    };
    match timeout(limit, exchange).await {
        Ok(offset) => offset.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer in {} s", limit.as_secs_f32())),
    }
}

fn read(answer: &[u8], asked: [u8; 8], sent: Timestamp, received: Timestamp) -> Option<f64> {
    let is_server = answer.first()? & 7 == 4;
    // A stratum of 0 is a refusal.
    if !is_server || *answer.get(1)? == 0 || answer.get(24..32)? != asked {
        return None;
    }
    let (arrived, left) = (moment(answer.get(32..40)?)?, moment(answer.get(40..48)?)?);
    let micros = i64::midpoint(arrived - sent.as_micros(), left - received.as_micros());
    Some(micros as f64 / 1e6)
}

fn wire(moment: Timestamp) -> [u8; 8] {
    let micros = moment.as_micros();
    let seconds = micros.div_euclid(1_000_000) + SINCE_1900;
    let fraction = (micros.rem_euclid(1_000_000) << 32) / 1_000_000;
    // The era wraps in 2036; both sides wrap alike.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "eras wrap")]
    let halves = [(seconds as u32).to_be_bytes(), (fraction as u32).to_be_bytes()];
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&halves[0]);
    bytes[4..].copy_from_slice(&halves[1]);
    bytes
}

fn moment(bytes: &[u8]) -> Option<i64> {
    let half = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (seconds, fraction) = (i64::from(half(0)?), i64::from(half(4)?));
    // Small numbers are of the era that begins in 2036.
    let era = if seconds < SINCE_1900 { 1 << 32 } else { 0 };
    Some((seconds + era - SINCE_1900) * 1_000_000 + ((fraction * 1_000_000) >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;

    #[tokio::test]
    async fn the_difference_of_the_clocks_is_measured() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        let now = Timestamp::from_seconds(1_795_325_306);
        tokio::spawn(async move {
            let mut message = [0_u8; 512];
            let (_, from) = socket.recv_from(&mut message).await.expect("a question");
            let mut answer = [0_u8; 48];
            (answer[0], answer[1]) = (0x24, 2);
            answer[24..32].copy_from_slice(&message[40..48]);
            let theirs = wire(now.plus(Duration::from_millis(42_500)));
            answer[32..40].copy_from_slice(&theirs);
            answer[40..48].copy_from_slice(&theirs);
            socket.send_to(&answer, from).await.expect("sent");
        });
        let clock = TestClock::at(now);
        let offset = offset(address, &clock, Duration::from_secs(20)).await.expect("an answer");
        assert!((offset - 42.5).abs() < 0.001, "{offset}");
    }

    #[test]
    fn moments_survive_the_wire_in_both_eras() {
        for seconds in [1_795_325_306, 2_085_978_495, 2_085_978_497] {
            let moment = Timestamp::from_seconds(seconds);
            assert_eq!(super::moment(&wire(moment)), Some(moment.as_micros()));
        }
    }

    #[test]
    fn a_refusal_and_a_foreign_answer_are_none() {
        let now = Timestamp::from_seconds(1_795_325_306);
        let mut answer = [0_u8; 48];
        (answer[0], answer[1]) = (0x24, 2);
        answer[24..32].copy_from_slice(&wire(now));
        assert!(read(&answer, wire(now), now, now).is_some());
        answer[1] = 0;
        assert!(read(&answer, wire(now), now, now).is_none());
        answer[1] = 2;
        assert!(read(&answer, [1; 8], now, now).is_none());
    }
}
