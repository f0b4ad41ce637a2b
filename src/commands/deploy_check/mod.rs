//! May we deploy, and did it go well? Runs the checklist, keeps the word of people, shows what came of it; go or no-go
//! decides the exit code.
mod args;
mod attest;
mod conduct;
mod evidence;
mod serve;
mod wait;

pub use args::Args;
pub use conduct::run;

pub fn routes() -> Vec<crate::daemon::Route> {
    [serve::routes(), attest::routes()].into_iter().flatten().collect()
}
