//! `palisade update key`, `make`, `inspect` and `verify`: on files alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        output::{emit, harmless, say},
        private_file::PrivateFile,
    },
    clock::{Clock, SystemClock, SystemRandom, Timestamp},
    config::SecretFile,
    files::{self, PUBLIC},
    node::update::{
        self, DataFormat, INDEX, INDEX_SIGNATURE, Manifest, PublicKey, Release, SecretKey,
        TrustedKeys,
    },
    release::{self, Version},
};

/// Arguments of `palisade update key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// What the key is called; the files are NAME.key and NAME.pub.
    name: String,
    /// Where the files go.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    out: PathBuf,
}

/// Arguments of `palisade update make`.
#[derive(Debug, Args)]
pub(super) struct MakeArgs {
    /// The directory that `appliance/build` has filled.
    #[arg(long, value_name = "DIRECTORY")]
    from: PathBuf,
    /// The version in it.
    #[arg(long)]
    version: Version,
    /// The file with the secret key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The update file to be written; for a mirror the name must stay
    /// `palisade-VERSION.update`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file with what is new, Markdown.
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// The day of the release, today unless `SOURCE_DATE_EPOCH` or this says otherwise.
    #[arg(long, value_name = "YYYY-MM-DD")]
    released: Option<String>,
    /// The oldest version from which it may be installed; without it the oldest
    /// that can run on its data.
    #[arg(long, value_name = "VERSION")]
    installable_from: Option<Version>,
    /// Also write `latest.json` and `latest.json.sig` beside the file, as a mirror serves them.
    #[arg(long)]
    mirror: bool,
}

/// Arguments of `palisade update inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The update file.
    file: PathBuf,
}

/// Arguments of `palisade update verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The update file.
    file: PathBuf,
    /// A file with a public key that may have signed it; may be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
}

pub(super) fn key(args: &KeyArgs) -> Result<()> {
    let secret = SecretKey::generate(&args.name, &SystemRandom)?;
    let place = |ending: &str| args.out.join(format!("{}.{ending}", args.name));
    let file = PrivateFile::create(&place("key"))?;
    let public = new_file(&place("pub"))?;
    file.write(secret.text().expose())?;
    finish(public, &format!("{}\n", secret.public()), &place("pub"))?;
    say(&format!("{} signs updates: keep it offline.", place("key").display()));
    say(&format!("{} verifies them: give it to appliance/build.", place("pub").display()));
    emit(&secret.public().id())
}

pub(super) fn make(args: MakeArgs) -> Result<()> {
    let text = SecretFile::new(&args.key).read().map_err(|error| {
        Failure::usage(format!("--key {error}."), "Make a key: palisade update key NAME")
    })?;
    let key: SecretKey = text.expose().parse().map_err(|error| {
        Failure::usage(format!("{}: {error}.", args.key.display()), "Name the file NAME.key.")
    })?;
    let notes = match &args.notes {
        Some(file) => fs::read_to_string(file).map_err(|error| unreadable(file, &error))?,
        None => String::new(),
    };
    let name = update::file_name(&args.version);
    if args.mirror && args.out.file_name().is_none_or(|out| *out != *name) {
        let message = format!("--out has to end in {name}: under this name a mirror is asked.");
        return Err(Failure::usage(message, "Choose another directory, not another name."));
    }
    let oldest = Version::oldest();
    let release = Release {
        version: args.version,
        released: args.released.map_or_else(today, Ok)?,
        installable_from: args.installable_from.unwrap_or_else(|| oldest.clone()),
        data_format: DataFormat { number: release::DATA_FORMAT, oldest_version: oldest },
        notes,
    };
    // Nobody finds a file under its name that is not whole.
    let unfinished = args.out.with_added_extension("part");
    let file = File::create(&unfinished).map_err(|error| unwritable(&unfinished, &error))?;
    let made = update::make(&args.from, release, &key, BufWriter::new(&file));
    let kept = made.map_err(Failure::from).and_then(|made| {
        file.sync_all()
            .and_then(|()| fs::rename(&unfinished, &args.out))
            .map_err(|error| unwritable(&args.out, &error))?;
        Ok(made)
    });
    let (manifest, signature) = kept.inspect_err(|_| {
        // What stays behind at the worst is named as unfinished.
        let _ = fs::remove_file(&unfinished);
    })?;
    if args.mirror {
        let directory = args.out.parent().unwrap_or(Path::new("."));
        let files = [(INDEX, manifest.as_slice()), (INDEX_SIGNATURE, signature.as_bytes())];
        for (name, content) in files {
            let path = directory.join(name);
            files::replace(&path, content, PUBLIC).map_err(|error| unwritable(&path, &error))?;
        }
    }
    emit(&args.out.display().to_string())
}

pub(super) fn inspect(args: &InspectArgs) -> Result<()> {
    let (manifest, line) = update::inspect(open(&args.file)?)?;
    say("note: shown as the file says it; nothing was verified");
    emit(&harmless(&format!("{}\nsignature        {line}", describe(&manifest))))
}

pub(super) fn verify(args: &VerifyArgs) -> Result<()> {
    let mut keys = Vec::new();
    for path in &args.key {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let key: PublicKey = text.parse().map_err(|error| {
            Failure::usage(format!("{}: {error}.", path.display()), "Name the file NAME.pub.")
        })?;
        keys.push(key);
    }
    let checked = update::verify(open(&args.file)?, &TrustedKeys::new(keys), &mut |_| ())?;
    let text = format!("{}\nsigned by        {}", describe(&checked.manifest), checked.signed_by);
    emit(&harmless(&text))
}

fn describe(manifest: &Manifest) -> String {
    let mut lines = vec![
        format!("version          {}", manifest.version),
        format!("released         {}", manifest.released),
        format!("installable from {}", manifest.installable_from),
        format!(
            "data format      {}, runs with {} and newer",
            manifest.data_format.number, manifest.data_format.oldest_version
        ),
    ];
    for artefact in &manifest.artefacts {
        lines.push(format!("{:>12}     {}", artefact.size, artefact.name));
    }
    let notes = manifest.notes.trim();
    if !notes.is_empty() {
        lines.push(format!("\n{notes}\n"));
    }
    lines.join("\n")
}

/// The day of `SOURCE_DATE_EPOCH`, as builds that can be repeated name it, or of now.
fn today() -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "a variable that other build tools know too")]
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let seconds = match epoch {
        Some(text) => text.parse().map_err(|_| {
            Failure::usage("SOURCE_DATE_EPOCH is not a number of seconds.", "Use --released.")
        })?,
        None => SystemClock.now().as_seconds(),
    };
    let day = Timestamp::from_seconds(seconds).to_string();
    Ok(day.chars().take(10).collect())
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(|error| unreadable(path, &error))
}

fn new_file(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    opened.map_err(|error| unwritable(path, &error))
}

fn finish(mut file: File, text: &str, path: &Path) -> Result<()> {
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| unwritable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}.", path.display()), "Check the path.")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be written: {error}.", path.display()))
        .with_hint("A key is never overwritten; elsewhere, check the rights and the space.")
}
