//! `palisade node descriptor` and `palisade node verify-ova`: what `ova/build` asks.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        output::{emit, emit_raw, say},
    },
    node::{
        descriptor::{Package, descriptor},
        ova::{self, disk},
    },
};

/// Arguments of `palisade node descriptor`.
#[derive(Debug, Args)]
pub(super) struct DescriptorArgs {
    /// The disk: a stream-optimised VMDK under the name that it has in the package.
    #[arg(long, value_name = "FILE")]
    disk: PathBuf,
    /// The version of the appliance.
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    appliance_version: String,
}

pub(super) fn describe(args: &DescriptorArgs) -> Result<()> {
    let unusable = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("{} cannot be used: {error}.", args.disk.display()))
            .with_hint(
                "It must be made by `qemu-img convert -O vmdk -o subformat=streamOptimized`.",
            )
    };
    let opened = File::options().read(true).write(true).open(&args.disk);
    let mut file = opened.map_err(unusable)?;
    let header = disk::settle(&mut file).map_err(unusable)?;
    let size = file.metadata().map_err(unusable)?.len();
    let name = args.disk.file_name().unwrap_or_default().to_string_lossy();
    let version = &args.appliance_version;
    emit_raw(&descriptor(&Package { version, disk: &name, size, capacity: header.capacity }))
}

pub(super) fn verify(file: &Path) -> Result<()> {
    let verified = ova::verify(file).map_err(|wrong| {
        let name = file.display().to_string();
        let failure = Failure::new(Exit::Failed, format!("{name} must not be imported."));
        wrong.iter().fold(failure, |failure, line| match line.split_once(": ") {
            Some((member, what)) => failure.with_field(member, what),
            None => failure.with_field("package", line),
        })
    })?;
    for (name, size, digest) in &verified.members {
        emit(&format!("{digest}  {size:>11}  {name}"))?;
    }
    match &verified.signer {
        Some(signer) => say(&format!("{} is whole, signed by {signer}.", file.display())),
        None => say(&format!("{} is whole; it is not signed.", file.display())),
    }
    Ok(())
}
