//! What a kind of the checklist alone must do, and how it is entered in the list with its types erased. Kinds of
//! declared checks look at the application; these look at what the daemon itself knows.
use super::{Backups, ITEMS, soak::Window};
use crate::{
    config::{Kind, OptionProblem, read_options},
    metrics::Metrics,
    readiness::{Evidence, Found},
};
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// What is known beside the evidence: which item asks, for what, and the rooms that are on no floor below.
#[derive(Clone)]
pub struct Around {
    /// The id of the item.
    pub item: String,
    /// Of the item as it reads now.
    pub fingerprint: String,
    /// What is to be deployed, if that was said.
    pub release: Option<String>,
    /// None: nothing here makes backups, so nothing of them was proved.
    pub backups: Option<Arc<dyn Backups>>,
    /// None: nothing is recorded here, so nothing was seen over time.
    pub metrics: Option<Metrics>,
    /// What is judged over a time is judged over this.
    pub window: Window,
}

/// A kind, compiled from its options when a run begins.
pub trait Look: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    const ABOUT: &'static str;
    type Options: DeserializeOwned + JsonSchema;

    /// Everything that is wrong at once; pointers are relative to `options`.
    fn compile(options: Self::Options) -> Result<Self, Vec<OptionProblem>>;

    /// It measures time or load, so it is asked when the others are done, and alone.
    fn quiet(&self) -> bool {
        false
    }

    /// The caller sets the deadline and drops the future when it passes: nothing may be left behind then.
    fn look(&self, evidence: &Evidence, around: &Around) -> impl Future<Output = Found> + Send;
}

/// A compiled item of whatever kind.
pub trait Ask: Send + Sync {
    fn is_quiet(&self) -> bool;
    fn ask<'a>(&'a self, evidence: &'a Evidence, around: &'a Around) -> BoxFuture<'a, Found>;
}

impl<L: Look> Ask for L {
    fn is_quiet(&self) -> bool {
        self.quiet()
    }

    fn ask<'a>(&'a self, evidence: &'a Evidence, around: &'a Around) -> BoxFuture<'a, Found> {
        Box::pin(self.look(evidence, around))
    }
}

type Compile = fn(&Value) -> Result<Box<dyn Ask>, Vec<OptionProblem>>;

/// An entry of `ITEMS`.
#[derive(Clone, Copy)]
pub struct ItemKind {
    pub kind: Kind,
    compile: Compile,
}

impl ItemKind {
    pub const fn of<L: Look>() -> Self {
        Self {
            kind: Kind { name: L::NAME, about: L::ABOUT, schema: schema::<L>, verify: verify::<L> },
            compile: |options| parse::<L>(options).map(|item| Box::new(item) as Box<dyn Ask>),
        }
    }
}

/// None: it is a kind of declared checks, if it is one at all.
pub fn compile(kind: &str, options: &Value) -> Option<Result<Box<dyn Ask>, Vec<OptionProblem>>> {
    ITEMS.iter().find(|entry| entry.kind.name == kind).map(|entry| (entry.compile)(options))
}

pub fn problem(pointer: &str, message: impl Into<String>, hint: Option<&str>) -> OptionProblem {
    OptionProblem { pointer: pointer.into(), message: message.into(), hint: hint.map(Into::into) }
}

fn schema<L: Look>(generator: &mut SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<L::Options>()
}

/// What the schema cannot say; what does not even fit the schema is the schema's to report.
fn verify<L: Look>(options: &Value) -> Vec<OptionProblem> {
    match serde_json::from_value::<L::Options>(options.clone()) {
        Ok(options) => L::compile(options).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn parse<L: Look>(options: &Value) -> Result<L, Vec<OptionProblem>> {
    L::compile(read_options(options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_has_a_schema_of_its_own_refuses_an_unknown_key_and_takes_no_name_of_a_check() {
        let checks = crate::readiness::kinds().checks;
        for entry in ITEMS {
            let name = entry.kind.name;
            let schema = (entry.kind.schema)(&mut SchemaGenerator::default());
            assert!(!schema.to_value().is_null(), "{name}");
            let compiled = compile(name, &json!({"no_such_key": 1})).expect("it is there");
            assert!(compiled.err().is_some_and(|problems| !problems.is_empty()), "{name} takes any key");
            assert!(checks.iter().all(|check| check.name != name), "{name} is a kind of check too");
        }
        assert!(compile("http", &json!({})).is_none() && compile("telepathy", &json!({})).is_none());
    }
}
