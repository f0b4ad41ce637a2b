//! Reads a report from a file or from stdin, never more than a report can be.
use crate::{
    domain::{Fault, Report},
    readiness::parse,
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// A report of a thousand checks with long evidence has a few MiB.
const LARGEST: u64 = 16 << 20;

/// A report in JSON; `-` is stdin.
pub fn read(path: &Path) -> Result<Report, Fault> {
    parse(&text(path)?).map_err(|fault| Fault { message: named(path, &fault.message), ..fault })
}

/// The text of a file; `-` is stdin.
pub fn text(path: &Path) -> Result<String, Fault> {
    let cannot = |error: &io::Error| Fault::usage(format!("cannot read {}: {error}", path.display()));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| cannot(&error))?)
    };
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Fault::usage(format!(
            "cannot read {}: it has more than {} MiB",
            path.display(),
            LARGEST >> 20
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| Fault::usage(format!("cannot read {}: it is not UTF-8 text", path.display())))
}

/// `cannot read a report: …` with the file that it was to be read from.
pub fn named(path: &Path, message: &str) -> String {
    match path.to_str() {
        Some("-") => message.to_owned(),
        _ => format!("{message} (in {})", path.display()),
    }
}
