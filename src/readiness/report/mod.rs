//! A report in every format that a machine or a reader may ask for: one file each, and its line in the list below.
//! None leaves a check out, and none cuts anything without saying so.
mod facts;
mod github;
mod html;
mod json;
mod junit;
mod markdown;
mod markup;
mod sarif;
#[cfg(test)]
mod tests;

use crate::domain::{Fault, Report};

pub use json::{parse, schema};

pub struct Reporter {
    /// As `-o` and `--output-file` call it.
    pub name: &'static str,
    /// What its files usually end in.
    pub extension: &'static str,
    pub render: fn(&Report) -> Result<String, Fault>,
}

pub const REPORTERS: &[Reporter] = &[
    Reporter { name: "json", extension: "json", render: json::render },
    Reporter { name: "junit", extension: "xml", render: |report| Ok(junit::render(report)) },
    Reporter { name: "sarif", extension: "sarif", render: |report| Ok(sarif::render(report)) },
    Reporter { name: "markdown", extension: "md", render: |report| Ok(markdown::render(report)) },
    Reporter { name: "github", extension: "txt", render: |report| Ok(github::render(report)) },
    Reporter { name: "html", extension: "html", render: |report| Ok(html::render(report)) },
];
