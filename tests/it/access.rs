//! Every route refuses a role that is too low, and a real daemon refuses a caller whom it does not know.
use crate::support::{Answer, Daemon, agentctl, eventually, instance};
use agentctl::{
    commands,
    daemon::Route,
    domain::{Caller, FaultKind, Identity, Permission, Role},
    protocol::Verb,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::Command,
};

fn caller(role: Role) -> Caller {
    Caller::by_socket(Identity { uid: 4242, gid: 4242, pid: Some(1) }, role, None)
}

/// The strongest role that must still be refused.
fn too_low(needs: Permission) -> &'static [Role] {
    match needs {
        Permission::FleetRead => &[Role::Agent, Role::Service],
        Permission::AgentControl
        | Permission::ReadinessRun
        | Permission::ReadinessWaive
        | Permission::AuditRead
        | Permission::ErrorResolve
        | Permission::BreakerControl
        | Permission::ApprovalGive => &[Role::Agent, Role::Service, Role::Viewer],
        Permission::AccessAsk => &[Role::Agent, Role::Viewer],
        Permission::SessionOwn => &[Role::Agent],
        Permission::AgentReport => &[Role::Viewer, Role::Service],
        Permission::PolicyChange | Permission::DaemonControl | Permission::AccessManage => {
            &[Role::Agent, Role::Service, Role::Viewer, Role::Operator]
        }
    }
}

#[test]
fn every_route_refuses_a_role_that_is_too_low_and_lets_the_admin_through() {
    let routes = commands::routes();
    assert!(routes.len() > 10, "the routes are not where they were");
    for route in &routes {
        for role in too_low(route.needs) {
            let fault = route.admit(&caller(*role)).expect_err(&route.path);
            assert_eq!(fault.kind, FaultKind::Forbidden, "{}", route.path);
            assert!(fault.hint.is_some(), "{} refuses without a hint", route.path);
        }
        assert!(route.admit(&caller(Role::Admin)).is_ok(), "{} refuses the admin", route.path);
    }
}

#[test]
fn what_changes_something_needs_more_than_looking() {
    // A session of one's own is no more than one has already.
    let own = Permission::SessionOwn;
    let writes = |route: &&Route| route.verb == Verb::Write && route.needs != own;
    for route in commands::routes().iter().filter(writes) {
        assert!(route.admit(&caller(Role::Viewer)).is_err(), "{} lets a viewer write", route.path);
    }
}

#[test]
fn an_agent_reaches_nothing_but_its_report() {
    for route in commands::routes() {
        let admitted = route.admit(&caller(Role::Agent)).is_ok();
        assert_eq!(admitted, route.needs == Permission::AgentReport, "{}", route.path);
    }
}

#[test]
fn paths_are_versioned_and_each_is_one_route() {
    let routes = commands::routes();
    let paths: BTreeSet<_> = routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths.len(), routes.len(), "two routes share a path");
    assert!(paths.iter().all(|path| path.starts_with("/v1/")), "{paths:?}");
}

/// agentctl as somebody else; only root can become that.
fn agentctl_as(daemon: &Daemon, uid: u32, gid: u32, args: &[&str]) -> Answer {
    Command::new(daemon.path("agentctl"))
        .arg("--socket")
        .arg(daemon.socket())
        .args(args)
        .uid(uid)
        .gid(gid)
        .current_dir("/")
        .env_clear()
        .output()
        .expect("agentctl runs")
        .into()
}

const NOBODY: u32 = 65534;

/// One agent, under a uid of its own where root starts it; the socket may be reached by the group of nobody.
fn guarded(access: &str) -> String {
    format!(
        r#"
        schema = 1
        [access]
        {access}
        [[agent]]
        name = "orders"
        kind = "process"
        options = {{ command = [{{agentctl}}, "demo-agent", "stdio"] }}
          [[agent.probe]]
          name = "beat"
          kind = "heartbeat"
          role = "readiness"
          options = {{ within = "1m" }}
        "#
    )
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_daemons_own_user_is_admin_and_under_root_a_stranger_gets_in_only_by_access() {
    let group = if am_root() { NOBODY } else { rustix::process::getegid().as_raw() };
    let strangers = guarded(&format!("socket_group = \"{group}\""));
    let daemon = Daemon::start(&strangers);
    daemon.ctl(["config", "reload"]).exits(0); // an admin's
    if !am_root() {
        return; // the rest needs a second user
    }
    let answer = agentctl_as(&daemon, NOBODY, NOBODY, &["status"]).exits(4);
    assert!(answer.stderr.contains("it has no role here") && answer.stderr.contains("[access]"), "{answer}");

    let lookers = guarded(&format!("socket_group = \"{group}\"\nviewer_users = [\"{NOBODY}\"]"));
    daemon.rewrite(&lookers);
    daemon.ctl(["config", "reload"]).exits(0);
    let answer = agentctl_as(&daemon, NOBODY, NOBODY, &["agent", "list"]).exits(0);
    assert!(answer.stdout.contains("orders"), "{answer}");
    for refused in [&["agent", "stop", "orders", "--yes"][..], &["config", "reload"], &["daemon", "stop"]] {
        let answer = agentctl_as(&daemon, NOBODY, NOBODY, refused).exits(4);
        assert!(answer.stderr.contains("viewer"), "{answer}");
    }

    daemon.rewrite(&strangers);
    daemon.ctl(["config", "reload"]).exits(0);
    agentctl_as(&daemon, NOBODY, NOBODY, &["status"]).exits(4);
}

#[test]
fn under_root_an_agent_may_report_for_itself_and_do_nothing_else() {
    if !am_root() {
        return; // a uid of its own is root's to give; what an agent is refused is asserted route by route above
    }
    // Whatever [access] says: an agent is an agent.
    let mapped = format!("socket_group = \"{NOBODY}\"\nadmin_groups = [\"{NOBODY}\"]");
    let daemon = Daemon::start(&guarded(&mapped));
    let instance = || instance(&daemon, "orders");
    assert!(
        eventually(|| instance()["pid"].is_i64() && instance()["separation"] == "own-user"),
        "{}",
        instance()
    );
    let pid = instance()["pid"].clone();
    let uid = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    assert_ne!(uid, 0);

    for refused in [&["status"][..], &["agent", "stop", "orders", "--yes"], &["daemon", "stop"]] {
        let answer = agentctl_as(&daemon, uid, NOBODY, refused).exits(4);
        assert!(answer.stderr.contains("agent orders is agent"), "{answer}");
    }
    let report = daemon.path("run-report/report.sock");
    let report = report.to_str().expect("text");
    let beat = |name: &str| {
        let args = ["report", "heartbeat", "--instance", name, "--report-socket", report];
        agentctl_as(&daemon, uid, uid, &args)
    };
    beat("orders/0").exits(0);
    assert!(beat("billing/0").exits(4).stderr.contains("the caller is agent orders"));
    // The report socket serves nothing else, not even to the admin.
    let answer = agentctl(["--socket", report, "status"]).exits(7);
    assert!(answer.stderr.contains("no such endpoint"), "{answer}");
    assert_eq!(instance()["pid"], pid, "a refused stop had an effect");
}
