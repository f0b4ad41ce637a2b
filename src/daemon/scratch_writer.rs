//! The other end of the check that a killed writer loses nothing: this process is the writer. It is told what to do on
//! its standard input, and ends when that closes, so that it never outlives whoever started it.
use crate::{
    domain::Fault,
    store::{self, Doomed},
};
use std::{
    io::{self, Read},
    process, thread,
};

/// Blocks until somebody kills it. Listens to no socket, opens no file but the scratch one.
pub fn write_until_killed() -> Result<(), Fault> {
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(|error| Fault::internal(format!("cannot read what to write: {error}")))?;
    let doomed: Doomed = serde_json::from_str(&line)
        .map_err(|error| Fault::usage(format!("cannot understand what to write: {error}")))?;
    thread::spawn(|| {
        // An error is an end too.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::internal(format!("cannot start the runtime: {error}")))?;
    Ok(runtime.block_on(store::write_until_killed(doomed))?)
}
