//! Reports: of a validation, held against its own numbers; and of an agent, about itself.
mod heartbeat;
mod read;
mod verify;

use crate::{
    cli::{CliError, Ctl, Exit},
    readiness::schema,
};

pub use heartbeat::routes;
pub use read::read;

/// Verify a report's numbers, print its schema; tell agentd about oneself, from within an agent.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Verify(verify::Args),
    /// Print the JSON Schema of a report
    Schema,
    Heartbeat(heartbeat::Args),
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.what {
        What::Verify(args) => verify::run(&args, ctl),
        What::Schema => {
            let text =
                serde_json::to_string_pretty(&schema()).map_err(|e| CliError::Protocol(e.to_string()))?;
            ctl.ui.data(&(text + "\n"))?;
            Ok(Exit::Ok)
        }
        What::Heartbeat(args) => heartbeat::run(args, ctl).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// `UPDATE_GOLDEN=1` writes it anew; so does `agentctl report schema`.
    #[test]
    fn the_schema_that_is_kept_is_the_one_we_would_write_today() {
        let fresh = serde_json::to_string_pretty(&schema()).expect("json") + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/report.schema.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &fresh).expect("written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == fresh, "dist/report.schema.json differs from what is generated");
    }
}
