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
    Reporter { name: "junit", extension: "xml", render: junit::render },
    Reporter { name: "sarif", extension: "sarif", render: sarif::render },
    Reporter { name: "markdown", extension: "md", render: markdown::render },
    Reporter { name: "github", extension: "txt", render: github::render },
    Reporter { name: "html", extension: "html", render: html::render },
];
