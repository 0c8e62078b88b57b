//! Load: so many requests over so many connections, each waiting for its answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    http::{Connection, Target},
    measure::{Samples, cpu, micros_each},
};

/// The appliance closes a connection that is silent for longer than 15 seconds.
const STALE: Duration = Duration::from_secs(5);

/// Connections that are open and idle.
pub(crate) struct Pool {
    target: Target,
    size: usize,
    idle: Vec<Connection>,
    used: Instant,
}

/// What came of a round.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) took: Duration,
    /// Milliseconds of each request.
    pub(crate) latencies: Samples,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}

impl Pool {
    pub(crate) async fn open(target: &Target, connections: usize) -> Result<Self> {
        let (target, idle) = (target.clone(), Vec::with_capacity(connections));
        let mut pool = Self { target, size: connections, idle, used: Instant::now() };
        pool.renew().await?;
        Ok(pool)
    }

    /// Opens all connections again, if the server may be about to close them.
    /// Call it before a measurement begins.
    pub(crate) async fn renew(&mut self) -> Result<()> {
        if self.used.elapsed() > STALE {
            self.idle.clear();
        }
        while self.idle.len() < self.size {
            self.idle.push(self.target.connect().await?);
        }
        self.used = Instant::now();
        Ok(())
    }

    /// Sends `total` requests; `request` makes the bytes of each. Any status
    /// other than success is an error: failures are fast and prove nothing.
    pub(crate) async fn run(
        &mut self,
        total: usize,
        request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
    ) -> Result<Load> {
        let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
        let begun = Instant::now();
        let workers: Vec<_> = self
            .idle
            .drain(..)
            .map(|mut connection| {
                let (next, request) = (Arc::clone(&next), Arc::clone(&request));
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= total {
                            return Ok((connection, latencies));
                        }
                        let bytes = request(number);
                        let sent = Instant::now();
                        let answer = connection.call(&bytes).await?;
                        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                        ensure!(
                            (200..300).contains(&answer.status),
                            "status {}: {}",
                            answer.status,
                            String::from_utf8_lossy(&answer.body)
                        );
                    }
                })
            })
            .collect();
        let mut latencies = Vec::with_capacity(total);
        for worker in workers {
            let (connection, its) = worker.await??;
            self.idle.push(connection);
            latencies.extend(its);
        }
        let took = begun.elapsed();
        self.used = Instant::now();
        Ok(Load { requests: total, took, latencies: latencies.into_iter().collect() })
    }

    /// The same request `total` times; answers the server's microseconds of
    /// processor time for each.
    pub(crate) async fn cost(
        &mut self,
        server: &[u32],
        total: usize,
        request: &[u8],
    ) -> Result<f64> {
        self.renew().await?;
        let before = cpu(server)?;
        let request = request.to_owned();
        self.run(total, move |_| request.clone()).await?;
        Ok(micros_each(cpu(server)?.saturating_sub(before), total))
    }
}
