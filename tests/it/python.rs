//! Programs that nobody here wrote: FastAPI under uvicorn and gunicorn, on a real PostgreSQL, well and in trouble.
use crate::support::{
    Daemon, Postgres, agent, becomes, eventually, free_port, instance, probe, probes, saw, state, transitions,
};
use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter in which `.ci/test` has installed what the services need.
pub fn python() -> PathBuf {
    let python = repository().join("target/test-venv/bin/python");
    let imports = Command::new(&python).args(["-c", "import fastapi, uvicorn, gunicorn, psycopg"]).output();
    assert!(
        imports.is_ok_and(|output| output.status.success()),
        "cannot import fastapi, uvicorn, gunicorn and psycopg with {}: run `.ci/test`, which installs them (or \
         `python3 -m venv target/test-venv && target/test-venv/bin/pip install -r fixtures/python/requirements.txt`)",
        python.display()
    );
    python
}

/// Under root each agent gets a uid of its own, which cannot enter a checkout below a closed home.
fn is_open(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    real.ancestors().all(|part| fs::metadata(part).is_ok_and(|is| is.permissions().mode() & 0o001 != 0))
        && path
            .ancestors()
            .all(|part| fs::metadata(part).is_ok_and(|is| is.permissions().mode() & 0o001 != 0))
}

struct Fleet(String);

impl Fleet {
    fn new() -> Self {
        Self("schema = 1\n".into())
    }

    fn dependency(mut self) -> Self {
        self.0.push_str(
            "[[dependency]]\nname = \"orders-db\"\nkind = \"postgres\"\nevery = \"1s\"\ndeadline = \"1s\"\nfailure_threshold = 2\n\
             success_threshold = 1\noptions = { url = \"env:ORDERS_DATABASE_URL\", tables = [\"orders\"] }\n",
        );
        self
    }

    /// An agent that runs the interpreter with these arguments; `extra` are lines of its table.
    fn agent(mut self, name: &str, arguments: &[&str], port: u16, extra: &str) -> Self {
        let python = python();
        let user = if is_open(&python) { "auto" } else { "inherit" };
        let mut command = format!("{:?}", python.display().to_string());
        for argument in arguments {
            let _ = write!(command, ", {argument:?}");
        }
        let _ = write!(
            self.0,
            r#"
[[agent]]
name = "{name}"
kind = "service"
user = "{user}"
stop_timeout = "3s"
start_timeout = "30s"
{extra}
options = {{ command = [{command}], workdir = "{{home}}/app", port = {port}, environment = {{ DATABASE_URL = "env:ORDERS_DATABASE_URL", SERVICE_NAME = "{name}", PYTHONDONTWRITEBYTECODE = "1" }} }}
"#
        );
        self
    }

    fn uvicorn(self, name: &str, module: &str, extra: &str) -> Self {
        let application = format!("{module}:app");
        let arguments = ["-m", "uvicorn", &application, "--host", "127.0.0.1", "--port", "{port}"];
        self.agent(name, &arguments, 0, extra).health(name)
    }

    fn health(mut self, name: &str) -> Self {
        let _ = write!(
            self.0,
            r#"
  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "500ms"
  deadline = "500ms"
  failure_threshold = 2
  options = {{ path = "/health", expect = {{ status = 200, json = {{ "$.status" = "healthy", "$.agent" = "{name}" }} }} }}
"#
        );
        self
    }

    /// The daemon with the services copied beside it, where every uid may read them.
    fn prepared(&self, database: &str) -> Daemon {
        let daemon = Daemon::prepared(&self.0).with("ORDERS_DATABASE_URL", database);
        let app = daemon.path("app");
        fs::create_dir(&app).expect("a directory");
        fs::set_permissions(&app, fs::Permissions::from_mode(0o755)).expect("permissions");
        for file in fs::read_dir(repository().join("fixtures/python")).expect("fixtures").flatten() {
            let copy = app.join(file.file_name());
            fs::copy(file.path(), &copy).expect("copied");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("permissions");
        }
        daemon
    }
}

#[test]
fn services_on_a_database_are_well_then_blocked_once_then_well_again() {
    let mut postgres = Postgres::start();
    let workers =
        ["-m", "gunicorn", "-w", "2", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:{port}"];
    let workers: Vec<&str> = workers.into_iter().chain(["orders:app"]).collect();
    let fleet = Fleet::new()
        .dependency()
        .uvicorn("orders", "orders", "depends_on = [\"orders-db\"]")
        .uvicorn("optimist", "optimist", "")
        .agent("workers", &workers, 0, "depends_on = [\"orders-db\"]")
        .health("workers");
    let mut daemon = fleet.prepared(&postgres.url()).launched();
    for name in ["orders", "optimist", "workers"] {
        becomes(&daemon, name, "ready");
    }
    // Both workers hold the one socket, and so does their parent: all are the agent's own.
    let port = instance(&daemon, "workers")["port"].as_u64().expect("a port");
    let body = Command::new("curl").args(["-sf", &format!("http://127.0.0.1:{port}/orders")]).output();
    assert_eq!(String::from_utf8_lossy(&body.expect("curl runs").stdout), r#"["tea","rice"]"#);

    let before = transitions(&daemon).len();
    postgres.kill();
    becomes(&daemon, "optimist", "degraded");
    let said = probe(&daemon, "optimist/0").expect("a failing probe");
    assert!(said.contains("critical"), "200 was believed: {said}");
    for name in ["orders", "workers"] {
        let blocked = || probes(&daemon, name).iter().all(|(_, state)| state == "blocked");
        assert!(eventually(blocked), "{}", daemon.ctl(["status", "--all"]));
    }
    let outages = transitions(&daemon).into_iter().skip(before).filter(|(_, _, became)| became == "failing");
    let outages: Vec<String> = outages.map(|(target, ..)| target).collect();
    let failed = |target: &str| outages.iter().filter(|of| *of == target).count();
    assert_eq!((failed("orders-db"), failed("orders/0"), failed("workers/0")), (1, 0, 0), "{outages:?}");
    let pids = ["orders", "workers", "optimist"].map(|name| instance(&daemon, name)["pid"].clone());

    postgres.resume();
    for name in ["orders", "optimist", "workers"] {
        becomes(&daemon, name, "ready");
    }
    let after = ["orders", "workers", "optimist"].map(|name| instance(&daemon, name)["pid"].clone());
    assert_eq!(pids, after, "nobody is restarted because a database was down");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn what_cannot_be_imported_is_not_tried_again_and_a_liar_is_not_believed() {
    let fleet = Fleet::new()
        .uvicorn(
            "unimportable",
            "unimportable",
            "restart = { policy = \"always\", backoff = \"10ms..50ms\" }",
        )
        .uvicorn("impostor", "impostor", "");
    let daemon = fleet.prepared("postgresql://nowhere/orders").launched();
    becomes(&daemon, "unimportable", "failed");
    let ended = instance(&daemon, "unimportable");
    assert_eq!(ended["last_exit"]["class"], "import", "{ended}");
    let words = ended["last_exit"]["last_words"].as_str().expect("last words");
    assert!(words.contains("a_module_that_nobody_installed"), "{words}");
    assert_eq!((&ended["generation"], &ended["restarts"]), (&1.into(), &0.into()), "{ended}");

    let exposed = || saw(&daemon, "impostor").contains("$.agent is \"orders\"");
    assert!(eventually(exposed), "{}", daemon.ctl(["status", "--all"]));
    assert_ne!(state(&daemon, "impostor"), "ready");
    daemon.ctl(["status"]).exits(1);
    assert_eq!(instance(&daemon, "unimportable")["generation"], 1, "it was started again meanwhile");
}

#[test]
fn a_service_that_needs_a_second_term_gets_it() {
    let fleet = Fleet::new().agent("stubborn", &["stubborn.py"], 0, "").health("stubborn");
    let mut daemon = fleet.prepared("postgresql://nowhere/orders").launched();
    becomes(&daemon, "stubborn", "ready");
    daemon.ctl(["--timeout", "30s", "agent", "stop", "stubborn"]).exits(0);
    let logs = daemon.ctl(["agent", "logs", "stubborn"]).exits(0).stdout;
    assert!(logs.contains("time 1") && logs.contains("time 2"), "{logs}");
    assert_eq!(state(&daemon, "stubborn"), "stopped");
    assert_eq!(daemon.marked(), []);
    assert_eq!(daemon.stop(), Some(0));
}

/// Killed when the test ends.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_port_that_a_foreign_process_holds_is_reported_with_its_holder() {
    let port = free_port();
    let mut server = Command::new(python());
    server.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
    let foreign = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let foreign = Foreign(foreign.expect("it runs"));
    assert!(eventually(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()), "nobody listens");

    let arguments = ["-m", "uvicorn", "impostor:app", "--host", "127.0.0.1", "--port", "{port}"];
    let restart = "restart = { policy = \"always\", backoff = \"100ms..200ms\", latch = \"1000 in 1m\" }";
    let fleet = Fleet::new().agent("orders", &arguments, port, restart).health("orders");
    let daemon = fleet.prepared("postgresql://nowhere/orders").launched();
    let holder = foreign.0.id().to_string();
    let named = || {
        let instance = instance(&daemon, "orders").to_string();
        instance.contains(&port.to_string()) && instance.contains(&holder)
    };
    assert!(eventually(named), "{}", agent(&daemon, "orders"));
    assert_ne!(state(&daemon, "orders"), "ready", "the foreigner's answers were taken for the agent's");
    assert!(instance(&daemon, "orders")["pid"].is_null(), "it was started against a port that is held");

    drop(foreign);
    becomes(&daemon, "orders", "ready");
}
