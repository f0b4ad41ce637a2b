//! How the binaries are linked. Run by cargo.

fn main() {
    println!("cargo::rerun-if-changed=dist/link.rs");
    let target = |key: &str| std::env::var(key).unwrap_or_default();
    // The command line lives for two milliseconds, a fifth of which went into relocating it. The daemon, which stays and
    // listens, keeps its random address.
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bin=agentctl=-no-pie");
    }
}
