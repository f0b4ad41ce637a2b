//! Layers, their order and their origins; what loads, loads again from what is shown of it.
use super::{Origin, Sources, fake::*};
use crate::domain::Period;
use proptest::prelude::*;

const FILE: &str = r#"
environment = "staging"
agent_system = "on"

[store]
readers_min = 11
readers_max = 40

[environment.staging.store]
readers_min = 12

[environment.production.store]
readers_min = 13

[[agent]]
name = "orders"
kind = "service"
options = { command = ["orders"], port = 8000 }

[[agent.probe]]
name = "ready"
kind = "http"
every = "10s"

[[environment.staging.agent]]
name = "orders"
replicas = 2
probe = [{ name = "ready", every = "20s" }]
"#;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn each_layer_beats_the_one_before_and_says_so() {
    let at = "/store/readers_min";
    let plain = load_text("[store]\nreaders_min = 11").expect("holds");
    assert_eq!((plain.settings.store.readers_min, plain.origin(at)), (11, Origin::File { line: 2 }));
    assert_eq!(plain.origin("/store/readers_max"), Origin::Default);
    let overlay = load_text(FILE).expect("holds");
    let wanted = Origin::Overlay { environment: "staging".into(), line: 10 };
    assert_eq!((overlay.settings.store.readers_min, overlay.origin(at)), (12, wanted));
    assert_eq!(overlay.settings.store.readers_max, 40);
    let variables = pairs(&[("AGENTD_STORE__READERS_MIN", "14")]);
    let loaded =
        load_text_with(FILE, Sources { variables: variables.clone(), ..Sources::default() }).expect("holds");
    let wanted = Origin::Variable("AGENTD_STORE__READERS_MIN".into());
    assert_eq!((loaded.settings.store.readers_min, loaded.origin(at)), (14, wanted));
    let flags = pairs(&[("store.readers_min", "15")]);
    let loaded = load_text_with(FILE, Sources { variables, flags, ..Sources::default() }).expect("holds");
    let wanted = Origin::Flag("store.readers_min".into());
    assert_eq!((loaded.settings.store.readers_min, loaded.origin(at)), (15, wanted));
}

#[test]
fn the_environment_of_the_flag_beats_the_variable_beats_the_file() {
    let readers = |sources| {
        let loaded = load_text_with(FILE, sources).expect("holds");
        (loaded.settings.environment.clone(), loaded.settings.store.readers_min)
    };
    let variables = pairs(&[("AGENTD_ENVIRONMENT", "production")]);
    assert_eq!(readers(Sources::default()), ("staging".into(), 12));
    assert_eq!(
        readers(Sources { variables: variables.clone(), ..Sources::default() }),
        ("production".into(), 13)
    );
    let environment = Some("dev".to_owned());
    assert_eq!(readers(Sources { environment, variables, ..Sources::default() }), ("dev".into(), 11));
}

#[test]
fn agents_and_probes_merge_by_name() {
    let loaded = load_text(FILE).expect("holds");
    let [agent] = &loaded.settings.agents[..] else { panic!("one agent") };
    assert_eq!((agent.replicas, agent.probes.len()), (2, 1));
    assert_eq!((agent.probes[0].kind.as_str(), agent.probes[0].every), ("http", Period::secs(20)));
}

#[test]
fn variables_that_are_wrong_are_told_and_strangers_are_left_alone() {
    let variables = pairs(&[
        ("AGENTD_STORE__READER_MIN", "1"),
        ("AGENTD_ENVIRONMNT", "dev"),
        ("AGENTD_DAEMON__START_CONCURRENCY", "many"),
        ("AGENTD_AGENT", "orders"),
        ("AGENTD_INSTANCE", "orders/0"),
        ("AGENTD_ZEBRA", "1"),
        ("AGENT_LOG_LEVEL", "WARNING"),
    ]);
    let said =
        load_text_with("", Sources { variables, ..Sources::default() }).err().expect("refused").to_string();
    for wanted in [
        "unknown variable `AGENTD_STORE__READER_MIN`",
        "did you mean `AGENTD_STORE__READERS_MIN`?",
        "did you mean `AGENTD_ENVIRONMENT`?",
        "expected an integer for `start_concurrency`, found a string",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in\n{said}");
    }
    assert!(!said.contains("ZEBRA") && said.contains("3 problems"), "{said}");
}

#[test]
fn the_names_of_document_001_work_and_ours_beat_them() {
    let variables =
        pairs(&[("AGENT_SYSTEM_ENABLED", "false"), ("AGENT_LOG_LEVEL", "INFO"), ("AGENTD_STATE_DIR", "/x")]);
    let loaded = load_text_with("", Sources { variables, ..Sources::default() }).expect("holds");
    assert_eq!(loaded.settings.agent_system, super::AgentSystem::Off);
    assert_eq!(loaded.settings.daemon.log.level, "info");
    assert_eq!(loaded.settings.daemon.state_dir.as_deref(), Some("/x".as_ref()));
    let variables = pairs(&[("AGENT_SYSTEM_ENABLED", "false"), ("AGENTD_AGENT_SYSTEM", "on")]);
    let loaded = load_text_with("", Sources { variables, ..Sources::default() }).expect("holds");
    assert_eq!(loaded.settings.agent_system, super::AgentSystem::On);
}

#[test]
fn what_is_no_file_is_refused() {
    for path in ["/no/such/agentd.toml", "/", "/dev/zero"] {
        let problems = super::load(&Sources::file(path), &kinds()).err().expect("refused");
        assert!(problems.to_string().contains("cannot read"), "{problems}");
    }
}

#[test]
fn what_is_shown_loads_to_the_same_settings_and_says_where_each_line_is_from() {
    let loaded = load_text(FILE).expect("holds");
    let again = load_text(&loaded.view(true)).expect("the view holds");
    assert_eq!((&again.settings, &again.digest), (&loaded.settings, &loaded.digest));
    let view = loaded.view(true);
    for wanted in [
        "readers_min = 12  # line 10, [environment.staging]",
        "readers_max = 40  # line 7",
        "write_queue = 4096  # default",
        "port = 8000  # line 18",
    ] {
        assert!(view.contains(wanted), "{wanted} is not in\n{view}");
    }
}

#[test]
fn declared_checks_merge_by_id_and_are_shown_as_they_are() {
    let text = r#"
environment = "production"

[[check]]
id = "APP-orders-db"
title = "the orders can be read"
kind = "sql"
category = "database"
retries = 2
options = { url = "env:ORDERS_DATABASE_URL" }

[[check]]
id = "APP-home"
title = "the front page answers"
kind = "http"
category = "performance"

[[environment.production.check]]
id = "APP-orders-db"
severity = "blocker"
"#;
    let loaded = load_text(text).expect("holds");
    let checks = &loaded.settings.checks;
    assert_eq!(checks.len(), 2);
    let first = &checks[0];
    assert_eq!((first.severity, first.weight, first.retries), (crate::domain::Severity::Blocker, 1, 2));
    assert_eq!(loaded.origin("/check/0/title"), Origin::File { line: 6 });
    assert_eq!(
        loaded.origin("/check/0/severity"),
        Origin::Overlay { environment: "production".into(), line: 20 }
    );
    let again = load_text(&loaded.view(true)).expect("the view holds");
    assert_eq!((&again.settings, &again.digest), (&loaded.settings, &loaded.digest));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "[\\[\\]a-z\"'={},.# \n0-9é\\\\-]{0,200}") {
        let _ = load_text(&text).map_err(|problems| problems.to_string());
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_panic_and_what_loads_is_shown_truly(
        at in 0..FILE.len(), cut in 0usize..30, with in "[a-z\"\\[\\]={}\n0-9 ]{0,6}",
    ) {
        let mut text = FILE.to_owned();
        text.replace_range(at..(at + cut).min(FILE.len()), &with);
        match load_text(&text) {
            Ok(loaded) => {
                let again = load_text(&loaded.view(false)).map_err(|problems| problems.to_string());
                prop_assert_eq!(again.map(|again| again.digest), Ok(loaded.digest.clone()));
            }
            Err(problems) => prop_assert!(problems.errors() > 0 && problems.to_string().contains("cannot use")),
        }
    }
}
