//! Where tests make the journal fail, or cut the engine off in the middle. Nothing in any other build.
use crate::domain::OperationEvent;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

#[derive(Clone, Default)]
pub struct Seam {
    #[cfg(test)]
    pub faults: Option<Faults>,
}

#[cfg(test)]
pub type Faults = std::sync::Arc<dyn Fn(Moment, &OperationEvent) -> Cut + Send + Sync>;

/// What a test has happen.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    /// The disk refuses.
    Fail,
    /// Nothing comes after this.
    Off,
}

impl Seam {
    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    pub async fn reach(&self, _moment: Moment, _event: &OperationEvent) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    pub async fn reach(&self, moment: Moment, event: &OperationEvent) -> io::Result<()> {
        match self.faults.as_ref().map_or(Cut::Nothing, |faults| faults(moment, event)) {
            Cut::Nothing => Ok(()),
            Cut::Fail => Err(io::Error::from_raw_os_error(28)),
            Cut::Off => std::future::pending().await,
        }
    }
}
