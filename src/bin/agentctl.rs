//! Parse, ask, show, exit. One thread; nothing is initialised that the command does not use.
#![forbid(unsafe_code)]
use agentctl::{
    cli::Ctl,
    commands::{Cli, answer_the_shell},
};
use clap::Parser;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    answer_the_shell();
    let cli = Cli::parse();
    let ctl = Ctl::new(cli.global());
    let exit = match cli.run(&ctl).await {
        Ok(exit) => exit,
        Err(error) => {
            ctl.ui.error(&error);
            error.exit()
        }
    };
    ExitCode::from(exit as u8)
}
