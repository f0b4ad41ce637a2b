//! Every route refuses a role that is too low, and a real daemon refuses a caller whom it does not know.
use agentctl::{
    commands,
    domain::{Caller, FaultKind, Identity, Permission, Role},
    protocol::Verb,
};
use std::collections::BTreeSet;

fn caller(role: Role) -> Caller {
    Caller { identity: Identity { uid: 4242, gid: 4242, pid: Some(1) }, role, agent: None }
}

/// The strongest role that must still be refused.
fn too_low(needs: Permission) -> &'static [Role] {
    match needs {
        Permission::FleetRead => &[Role::Agent],
        Permission::AgentControl | Permission::ReadinessRun => &[Role::Agent, Role::Viewer],
        Permission::AgentReport => &[Role::Viewer],
        Permission::PolicyChange | Permission::DaemonControl => &[Role::Agent, Role::Viewer, Role::Operator],
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
    for route in commands::routes().iter().filter(|route| route.verb == Verb::Write) {
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
