//! The client for https: targets, made at the first such look: most fleets never pay for it.
use std::sync::OnceLock;

static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();

/// The one client. It follows no redirect, uses no proxy and keeps no connection: a look asks the target itself.
pub fn client() -> Result<&'static reqwest::Client, String> {
    CLIENT.get_or_init(build).as_ref().map_err(Clone::clone)
}

fn build() -> Result<reqwest::Client, String> {
    // Fails when somebody installed a provider before: any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| format!("no https here: {error}"))
}
