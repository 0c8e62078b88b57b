//! Looking at the machine, and the support bundle. Our own program does both,
//! outside of this daemon's sandbox: its view of mounts and devices is not the
//! machine's.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{Context, Output};
use crate::{
    clock::random_bytes,
    error::{Error, Kind, Result},
    node::protocol::{
        BundleBytes, BundleMade, BundlePart, MachineChecks, MachineSeen, SupportBundle,
    },
};

/// How long looking at everything may take.
const LIMIT: Duration = Duration::from_secs(150);

/// Bytes of one part.
const PART: u64 = 1024 * 1024;

/// Looks at the machine.
pub(super) async fn checks(context: &Context, _: MachineChecks) -> Result<MachineSeen> {
    let (doctor, hardening) = tokio::join!(
        report(context, &["doctor", "--output=json"]),
        report(context, &["doctor", "--cis", "--output=json"]),
    );
    Ok(MachineSeen { doctor: doctor?, hardening: hardening? })
}

/// A report of our program, which ends with 1 when something is wrong.
async fn report(context: &Context, arguments: &[&str]) -> Result<Value> {
    let output = outside(context, arguments).await?;
    serde_json::from_str(&output.stdout).map_err(|_| {
        let said = output.stderr.lines().last().unwrap_or("it did not say why").to_owned();
        let message = format!("Looking at the machine failed: {said}");
        Error::new(Kind::Unavailable, "program-failed", message)
    })
}

/// Runs our program as a unit of its own, or directly where that cannot be done.
pub(super) async fn outside(context: &Context, arguments: &[&str]) -> Result<Output> {
    let programs = context.programs();
    if context.paths().at("/run/systemd/system").is_dir() {
        let unit = ["--quiet", "--wait", "--pipe", "--collect", "--service-type=exec"];
        let ours = context.paths().at("/usr/bin/palisade").display().to_string();
        let run = programs
            .run("systemd-run")
            .args(unit)
            .args(["--property=RuntimeMaxSec=140", "--", &ours])
            .args(arguments)
            .within(LIMIT);
        match run.output().await {
            Ok(output) if output.success || !output.stdout.is_empty() => return Ok(output),
            Ok(output) => tracing::warn!(said = %output.stderr.trim(), "systemd-run did not work"),
            Err(error) => tracing::warn!(error = %error.chain(), "systemd-run did not work"),
        }
    }
    programs.run("palisade").args(arguments).within(LIMIT).output().await
}

fn place(context: &Context) -> PathBuf {
    context.paths().run().join("support")
}

/// Makes a support bundle, which replaces the one before.
pub(super) async fn bundle(context: &Context, ask: SupportBundle) -> Result<BundleMade> {
    let place = place(context);
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Error::internal)?;
    }
    fs::DirBuilder::new().mode(0o700).create(&place).map_err(Error::internal)?;
    let random: [u8; 16] = random_bytes(&**context.random());
    let id = data_encoding::HEXLOWER.encode(&random);
    let (file, extra) = (bundle_file(&place, &id), place.join("extra.json"));
    let text = serde_json::to_vec(&ask.extra).map_err(Error::internal)?;
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(&extra);
    opened.and_then(|mut file| file.write_all(&text)).map_err(Error::internal)?;
    let (out, from) = (format!("--out={}", file.display()), format!("--extra={}", extra.display()));
    let output = outside(context, &["support-bundle", &out, &from]).await?;
    let Ok(made) = fs::metadata(&file) else {
        return Err(output
            .or_failure("Making the support bundle")
            .err()
            .unwrap_or_else(|| Error::internal("the support bundle is not where it should be")));
    };
    Ok(BundleMade { id, size: made.len() })
}

/// Some bytes of a support bundle. With the last of them it is removed.
pub(super) fn part(context: &Context, ask: &BundlePart) -> Result<BundleBytes> {
    let is_id = ask.id.len() == 32 && ask.id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = bundle_file(&place(context), &ask.id);
    let gone = || Error::not_found("support bundle");
    let mut file =
        if is_id { fs::File::open(&path).map_err(|_| gone())? } else { return Err(gone()) };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(ask.offset)).map_err(Error::internal)?;
    let length =
        Read::by_ref(&mut file).take(PART).read_to_end(&mut bytes).map_err(Error::internal)? as u64;
    let size = file.metadata().map_err(Error::internal)?.len();
    if ask.offset.saturating_add(length) >= size {
        // It lies in memory; whoever wants another asks for another.
        fs::remove_file(&path).map_err(Error::internal)?;
    }
    Ok(BundleBytes { base64: data_encoding::BASE64.encode(&bytes) })
}

fn bundle_file(place: &Path, id: &str) -> PathBuf {
    place.join(format!("{id}.tar"))
}
