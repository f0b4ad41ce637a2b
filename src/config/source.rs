//! Where settings come from: which file, which environment, which variables and flags.
use std::{env, path::PathBuf};

/// Everything that takes part in the effective settings.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file; without one, defaults.
    pub file: Option<PathBuf>,
    /// `--environment`: which overlay is laid on, whatever the file says.
    pub environment: Option<String>,
    /// `AGENTD_*` and their aliases, as the process has them.
    pub variables: Vec<(String, String)>,
    /// Dotted path and value: `daemon.log.level`, `debug`.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The process's own: --config, else $AGENTD_CONFIG, else ./agentd.toml, else the user's or the machine's file.
    pub fn from_process(config: Option<PathBuf>, environment: Option<String>) -> Self {
        let named =
            config.or_else(|| env::var_os("AGENTD_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from));
        // Variables that are not UTF-8 cannot be settings of ours.
        let ours = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self {
            file: named.or_else(|| candidates().into_iter().find(|path| path.exists())),
            environment,
            variables: ours.filter(|(name, _)| name.starts_with("AGENT")).collect(),
            flags: Vec::new(),
        }
    }

    /// A file and nothing else.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }
}

/// Where a file is looked for when none is named, best first.
pub fn candidates() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("agentd.toml")];
    if rustix::process::geteuid().is_root() {
        paths.push("/etc/agentd/agentd.toml".into());
    } else {
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        let base = env::var_os("XDG_CONFIG_HOME").filter(|v| !v.is_empty()).map(PathBuf::from).or_else(home);
        paths.extend(base.map(|base| base.join("agentd/agentd.toml")));
    }
    paths
}
