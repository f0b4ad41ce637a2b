//! What a release shows over time: windows of recorded metrics, and the items that are judged by them.
#[cfg(test)]
mod fixture;
mod impact;
mod leak;
mod level;
mod proof;
mod restarts;
mod series;
mod steadiness;
mod weigh;
mod window;

pub use impact::Impact;
pub use leak::Leak;
pub use level::Level;
pub use restarts::Restarts;
pub use steadiness::Steadiness;
pub use window::{Window, item};
