//! What reaches a child and what does not, and what a child is known by.
use super::{
    fixture::{Scene, is_root, until},
    process::{Child, Ended},
};
use crate::{
    agents::{
        cgroup::{self, CgroupTree},
        procfs,
    },
    domain::{ByteSize, FaultKind},
};
use std::{fs::File, time::Duration};

/// Runs the script to its end and returns what it printed.
async fn output_of(scene: &Scene) -> (Ended, String) {
    let mut child = Child::spawn(&scene.spec).expect("it starts");
    let ended = child.wait().await;
    (ended, scene.printed())
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    // Cargo plants variables in every test, so that an inherited one would show.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let mut scene = Scene::new("");
    scene.spec.argv = vec!["env".into()];
    scene.spec.environment.push(("A".into(), "b c\nd".into()));
    let (ended, text) = output_of(&scene).await;
    assert_eq!(ended, Ended { code: Some(0), signal: None });
    let path = std::env::var("PATH").expect("a PATH");
    let fleet = &scene.spec.fleet_id;
    let expected = format!("A=b c\nd\nAGENTD_FLEET={fleet}\nAGENTD_INSTANCE=orders/0\nPATH={path}\n");
    assert_eq!(text, expected);
}

#[tokio::test]
async fn no_descriptor_but_the_first_three_reaches_it() {
    let file = File::open("/proc/self/stat").expect("a file");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("inheritable on purpose");
    let scene = Scene::new("exec ls /proc/self/fd");
    let (_, text) = output_of(&scene).await;
    // ls itself opens the directory that it lists as the lowest free one, 3.
    assert_eq!(text, "0\n1\n2\n3\n");
}

#[tokio::test]
async fn limits_privileges_and_signals_are_in_force() {
    let mut scene = Scene::new(
        "ulimit -d; ulimit -n; ulimit -c; grep -E '^(NoNewPrivs|SigIgn|SigBlk)' /proc/self/status",
    );
    scene.spec.limits.memory = Some(ByteSize(64 << 20));
    scene.spec.limits.open_files = Some(77);
    let (_, text) = output_of(&scene).await;
    let none = "0000000000000000";
    // 32 is libc's own, which no program can set: whoever ignored it far above us decides.
    let text = text.replace("SigIgn:\t0000000080000000", &format!("SigIgn:\t{none}"));
    assert_eq!(text, format!("65536\n77\n0\nSigBlk:\t{none}\nSigIgn:\t{none}\nNoNewPrivs:\t1\n"));
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused_to_it() {
    let mut scene = Scene::new("");
    scene.spec.argv = ["python3", "-c", "b = bytearray(400 << 20)"].map(Into::into).to_vec();
    scene.spec.limits.memory = Some(ByteSize(200 << 20));
    assert_eq!(output_of(&scene).await.0.code, Some(1), "400 MiB were given under a limit of 200");
    scene.spec.limits.memory = None;
    assert_eq!(output_of(&scene).await.0.code, Some(0), "it fails without the limit too: this shows nothing");
}

#[tokio::test]
async fn under_root_a_user_is_taken_with_no_group_left_and_else_refused() {
    let mut scene = Scene::new("id -u; id -g; id -G");
    scene.spec.user = Some((65534, 65533));
    scene.spec.workdir = None;
    if is_root() {
        assert_eq!(output_of(&scene).await.1, "65534\n65533\n65533\n");
    } else {
        assert!(Child::spawn(&scene.spec).is_err(), "a user was changed without the right to");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_named_with_the_reason() {
    let mut scene = Scene::new("");
    let dir = scene.dir.path().to_owned();
    std::fs::write(dir.join("plain"), "#!/bin/sh\n").expect("a file");
    std::fs::write(dir.join("lost"), "#!/no/such/interpreter\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.join("lost"), mode).expect("a mode");
    let mut fault = |program: &str| {
        scene.spec.argv = vec![program.into()];
        Child::spawn(&scene.spec).err().unwrap_or_else(|| panic!("{program} started"))
    };
    for (program, kind, words) in [
        ("no-such-program", FaultKind::NotFound, "no program `no-such-program` in its PATH"),
        ("/no/such/program", FaultKind::NotFound, "no program /no/such/program"),
        ("./plain", FaultKind::Config, "may not be executed"),
        ("./lost", FaultKind::Config, "interpreter that is not there"),
        ("", FaultKind::Config, "names no program"),
    ] {
        let fault = fault(program);
        assert_eq!(fault.kind, kind, "{program}: {fault}");
        assert!(fault.message.starts_with("cannot start orders/0: "), "{fault}");
        assert!(fault.message.contains(words), "{fault}");
    }
    scene.spec.argv = vec!["/bin/true".into()];
    scene.spec.workdir = Some(dir.join("nowhere"));
    let fault = Child::spawn(&scene.spec).err().expect("no such workdir");
    assert!(fault.message.contains("nowhere is not a directory"), "{fault}");
}

#[tokio::test]
async fn only_the_very_process_is_adopted_and_its_exit_status_stays_unknown() {
    let scene = Scene::new("sleep 1000");
    let child = Child::spawn(&scene.spec).expect("it starts");
    let boot = procfs::boot_id();
    let adopt = |start, boot: &str| Child::adopt(child.pid, start, boot, child.group().clone());
    assert!(adopt(child.pid_start + 1, &boot).is_none(), "another process with this pid was adopted");
    assert!(adopt(child.pid_start, "another boot").is_none());
    assert!(adopt(child.pid_start, "").is_none());
    let mut adopted = adopt(child.pid_start, &boot).expect("the same process");
    assert!(adopted.adopted);
    let waiting = tokio::time::timeout(Duration::from_millis(30), adopted.wait()).await;
    assert!(waiting.is_err(), "it ended before it was stopped");
    assert_eq!(adopted.stop(Duration::from_secs(5)).await.survivors, 0);
    assert!(adopt(child.pid_start, &boot).is_none(), "a dead process was adopted");
}

#[tokio::test]
async fn waiting_may_be_given_up_and_taken_up_again() {
    let scene = Scene::new("while [ ! -e go ]; do sleep 0.01; done; kill -KILL $$");
    let mut child = Child::spawn(&scene.spec).expect("it starts");
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(5), child.wait()).await.is_err());
    }
    std::fs::write(scene.dir.path().join("go"), "").expect("a file");
    assert_eq!(child.wait().await, Ended { code: None, signal: Some(9) });
    assert_eq!(child.wait().await, Ended { code: None, signal: Some(9) }, "told once only");
    let pid = child.pid;
    until(|| procfs::read(pid).is_none()).await;
}

/// Where the machine lets us into no cgroup, the child says that it has none.
#[tokio::test]
async fn a_child_is_born_in_the_cgroup_that_it_says_it_is_in() {
    let mut scene = Scene::new("cat /proc/self/cgroup > born; sleep 1000");
    let Some(tree) = CgroupTree::open(&scene.spec.fleet_id) else { return };
    scene.spec.cgroup = tree.create(&scene.spec.instance, None);
    let mut child = Child::spawn(&scene.spec).expect("it starts");
    scene.until("born").await;
    let owner = cgroup::owner_of(&scene.spec.fleet_id, child.pid);
    let claims = child.group().cgroup.is_some();
    child.stop(Duration::from_secs(2)).await;
    tree.remove_empty();
    assert_eq!(owner, claims.then(|| scene.spec.instance.clone()));
}
