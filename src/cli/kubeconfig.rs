//! `palisade kubeconfig`: keeping and fetching a cluster's kubeconfig.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    connection::{Connection, read},
    failure::Result,
    find,
    output::{emit_raw, say},
    private_file::PrivateFile,
    resource::Resource,
};

/// Arguments of `palisade kubeconfig`.
#[derive(Debug, Args)]
pub(super) struct KubeconfigArgs {
    #[command(subcommand)]
    command: KubeconfigCommand,
    /// The project of a cluster whose name occurs in several.
    #[arg(long, global = true, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum KubeconfigCommand {
    /// Print it; the download is recorded.
    Get {
        cluster: String,
        /// Write it to a new file that only you can read.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Keep it, sealed; it replaces the one before.
    Set { cluster: String, file: PathBuf },
}

pub(super) async fn run(args: KubeconfigArgs) -> Result<()> {
    let (KubeconfigCommand::Get { cluster, .. } | KubeconfigCommand::Set { cluster, .. }) =
        &args.command;
    let api = args.connection.api()?;
    let project = match &args.project {
        Some(name) => Some(find::uid(&api, Resource::Projects, name).await?),
        None => None,
    };
    let found = find::one(&api, Resource::Clusters, cluster, project.as_deref()).await?;
    let path = format!("{}/kubeconfig", Resource::Clusters.path_of(&find::uid_of(&found)?));
    match &args.command {
        KubeconfigCommand::Get { out, .. } => {
            let file = out.as_deref().map(PrivateFile::create).transpose()?;
            let text = api.text(&path).await?;
            match file {
                Some(file) => file.write(&text),
                None => emit_raw(&text),
            }
        }
        KubeconfigCommand::Set { file, .. } => {
            api.put(&path, Some(&json!({"kubeconfig": read(file)?}))).await?;
            say(&format!("Kept the kubeconfig of {cluster}."));
            Ok(())
        }
    }
}
