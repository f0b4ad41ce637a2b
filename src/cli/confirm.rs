//! Ask before what cannot be taken back; without a terminal refuse instead, unless --yes.
use super::CliError;
use crate::domain::{Fault, FaultKind};
use std::io::{self, IsTerminal};

/// `what` completes "this will …".
pub fn confirm(what: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| {
        CliError::from(
            Fault::new(FaultKind::Refused, format!("cannot go on: this will {what}, and {why}"))
                .hint("say --yes if that is what you want"),
        )
    };
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(refused("there is no terminal to ask on"));
    }
    let asked = dialoguer::Confirm::new().with_prompt(format!("This will {what}. Go on?")).default(false);
    match asked.interact() {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused("you said no")),
        Err(_) => Err(CliError::Interrupted),
    }
}
