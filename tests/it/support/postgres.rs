//! A real PostgreSQL server on a free port, in a directory that goes with it. Root may not run one: nobody does.
use super::{ends, eventually, free_port};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// What nobody may ever see in an output or a log.
pub const PASSWORD: &str = "hunter2-of-the-orders";
const NOBODY: u32 = 65534;

pub struct Postgres {
    home: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// With a database `orders` of a role `app`, and in it a table `orders` with two rows.
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("agentd-test-pg-").tempdir().expect("a directory");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("permissions");
        if is_root() {
            std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("given to nobody");
        }
        let mut postgres = Self { home, port: free_port(), server: None };
        let made = postgres
            .command("initdb")
            .args(["--username", "postgres", "--encoding", "UTF8", "--no-locale", "--no-sync"])
            .args(["--auth-local", "trust", "--auth-host", "scram-sha-256", "--pgdata"])
            .arg(postgres.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        postgres.resume();
        postgres.sql("postgres", &format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"));
        postgres.sql("postgres", "CREATE DATABASE orders OWNER app");
        postgres.sql(
            "orders",
            "SET ROLE app; CREATE TABLE orders (id serial PRIMARY KEY, item text NOT NULL); \
             INSERT INTO orders (item) VALUES ('tea'), ('rice')",
        );
        postgres
    }

    pub fn url(&self) -> String {
        self.url_with(PASSWORD)
    }

    pub fn url_with(&self, password: &str) -> String {
        format!("postgresql://app:{password}@127.0.0.1:{}/orders", self.port)
    }

    /// Runs it as the superuser.
    #[track_caller]
    pub fn sql(&self, database: &str, statements: &str) {
        let output = self.psql(database, statements).output().expect("psql runs");
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it at once, without a goodbye to its clients.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = rustix::process::Pid::from_child(&server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        if !ends(&server) {
            let _ = server.kill();
        }
        let _ = server.wait();
    }

    /// Starts it again on the same port; returns when it answers.
    pub fn resume(&mut self) {
        let log = fs::File::create(self.home.path().join("server.log")).expect("a log");
        let server = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.home.path())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        self.server = Some(server);
        let answers =
            eventually(|| self.psql("postgres", "SELECT 1").output().is_ok_and(|o| o.status.success()));
        let log = fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default();
        assert!(answers, "PostgreSQL did not start: {log}");
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn psql(&self, database: &str, statements: &str) -> Command {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
        command.arg(self.home.path()).args(["-p", &self.port.to_string(), "-d", database, "-c", statements]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(found(program));
        command.current_dir(self.home.path()).env("LC_ALL", "C");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Debian keeps the server's programs out of PATH.
fn found(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = debian.chain(std::env::split_paths(&path)).collect();
    let found = places.iter().map(|place| place.join(program)).find(|file| Path::is_file(file));
    found.unwrap_or_else(|| {
        panic!("cannot find {program}: `.ci/test` installs it, or `apt-get install postgresql`")
    })
}
