//! The `palisade` program: a table of contents.

use std::process::ExitCode;

// musl's own allocator halves the throughput of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    palisade::cli::run()
}
