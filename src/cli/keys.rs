//! `palisade keys`: the installation's keys.

mod node;
pub(super) mod offline;

pub(super) use offline::Place;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    connection::Connection,
    failure::Result,
    find,
    format::{Format, Output, text_at},
    output::{emit, harmless, say},
    resource::Resource,
};

/// Arguments of `palisade keys`.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Show the keys of a running appliance, without any key.
    Status(OnlineArgs),
    /// Exchange a key of a running appliance.
    Rotate {
        #[command(subcommand)]
        which: Rotation,
    },
    /// Open a lost or locked keystore with its recovery kit (appliance stopped).
    Recover(offline::RecoverArgs),
    /// Say whether this is the recovery kit of the installation; changes nothing.
    Check(offline::CheckArgs),
    /// Make another recovery kit and print it (appliance stopped).
    Kit(offline::KitArgs),
    /// Seal the keystore by another key or passphrase (appliance stopped).
    Seal(offline::SealArgs),
    /// Issue the certificates of a node of the cluster (for the node daemon).
    #[command(hide = true)]
    Node(node::NodeArgs),
}

#[derive(Debug, Args)]
struct OnlineArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Rotation {
    /// Wrap every tenant's key with a new root key.
    Root(OnlineArgs),
    /// Sign sessions with a new key; nobody is logged out.
    Jwt(OnlineArgs),
    /// Give a tenant a new key and seal everything of it again.
    Tenant {
        /// The tenant, by short name, name or uid.
        tenant: String,
        #[command(flatten)]
        online: OnlineArgs,
    },
}

pub(super) async fn run(args: KeysArgs) -> Result<()> {
    match args.command {
        KeysCommand::Status(online) => {
            let status = online.connection.api()?.get("/v1/keys").await?;
            show(&status, online.output)
        }
        KeysCommand::Rotate { which } => rotate(which).await,
        KeysCommand::Recover(args) => offline::recover(args).await,
        KeysCommand::Check(args) => offline::check(args).await,
        KeysCommand::Kit(args) => offline::kit(args).await,
        KeysCommand::Seal(args) => offline::seal(args).await,
        KeysCommand::Node(args) => node::node(args),
    }
}

async fn rotate(which: Rotation) -> Result<()> {
    let (path, online) = match which {
        Rotation::Root(online) => ("/v1/keys/root/rotate", online),
        Rotation::Jwt(online) => ("/v1/keys/jwt/rotate", online),
        Rotation::Tenant { tenant, online } => {
            let api = online.connection.api()?;
            let found = find::one(&api, Resource::Tenants, &tenant, None).await?;
            let path = format!("{}/key/rotate", Resource::Tenants.path_of(&find::uid_of(&found)?));
            let answer = api.post(&path, None).await?;
            say(&harmless(&format!("Rotated the key of {}.", Resource::Tenants.name_of(&found))));
            return match online.output.format {
                Format::Json | Format::Yaml => online.output.show_value(&answer),
                _ => emit(&format!("version {}", text_at(&answer, "/version"))),
            };
        }
    };
    let status = online.connection.api()?.post(path, None).await?;
    show(&status, online.output)
}

fn show(status: &Value, output: Output) -> Result<()> {
    if matches!(output.format, Format::Json | Format::Yaml) {
        return output.show_value(status);
    }
    let mut lines = vec![
        format!("installation   {}", text_at(status, "/installation")),
        format!("sealed         {}", text_at(status, "/sealMode")),
        format!(
            "recovery kit   {} of {}",
            text_at(status, "/recoveryKit/number"),
            text_at(status, "/recoveryKit/createdAt")
        ),
    ];
    for (label, list) in [("root key", "/rootKeys"), ("session key", "/jwtKeys")] {
        for key in status.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            let until = match text_at(key, "/until").as_str() {
                "-" => String::new(),
                until => format!(", verifies until {until}"),
            };
            lines.push(format!(
                "{label:<15}{} {} of {}{until}",
                text_at(key, "/id"),
                text_at(key, "/state"),
                text_at(key, "/createdAt")
            ));
        }
    }
    emit(&harmless(&lines.join("\n")))
}
