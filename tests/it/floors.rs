//! The floors of src/lib.rs, guarded: a room imports only rooms below its own; only some rooms print, speak SQL or
//! hold unsafe code. It reads text, so it guards habit, not malice.
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Room → rooms it may import, itself aside.
const FLOORS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("protocol", &["domain"]),
    ("config", &["domain"]),
    ("resilience", &[]),
    ("store", &["domain", "config", "resilience"]),
    ("auth", &["domain", "config", "store", "resilience"]),
    ("errors", &["domain", "config", "store", "resilience"]),
    ("operations", &["domain", "config", "store", "resilience", "errors"]),
    ("backups", &["domain", "config", "store", "resilience", "errors"]),
    ("agents", &["domain", "config", "store", "resilience", "errors"]),
    ("health", &["domain", "config", "store", "resilience", "errors", "agents"]),
    ("readiness", &["domain", "config", "store", "resilience", "auth", "errors", "agents", "health"]),
    ("metrics", &["domain", "config", "store", "resilience", "errors", "agents", "health"]),
    (
        "deploy",
        &[
            "domain",
            "config",
            "store",
            "resilience",
            "auth",
            "errors",
            "operations",
            "backups",
            "agents",
            "health",
            "readiness",
            "metrics",
        ],
    ),
    (
        "daemon",
        &[
            "domain",
            "config",
            "resilience",
            "store",
            "auth",
            "errors",
            "operations",
            "backups",
            "agents",
            "health",
            "readiness",
            "metrics",
            "deploy",
            "protocol",
        ],
    ),
    ("cli", &["domain", "protocol", "config"]),
    ("demo", &["domain"]),
    (
        "commands",
        &[
            "domain",
            "protocol",
            "config",
            "resilience",
            "store",
            "auth",
            "errors",
            "operations",
            "backups",
            "agents",
            "health",
            "readiness",
            "metrics",
            "deploy",
            "daemon",
            "cli",
            "demo",
        ],
    ),
    ("bin", &["commands", "daemon", "cli", "config"]),
];

/// Where standard output and error are written.
const MAY_PRINT: &[&str] = &["cli/", "commands/", "bin/", "demo/"];
/// `health` asks databases of the operator, which are none of ours.
const MAY_SPEAK_SQL: &[&str] = &["store/", "health/probe/"];
const MAY_BE_UNSAFE: &[&str] = &["agents/child/exec.rs"];

const PRINTING: &[&str] = &["println", "print", "eprintln", "eprint", "dbg"];
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "PRAGMA ",
];

/// Speaks of tables of clients' data: nobody else knows how to leave out what is not the caller's.
const ROWS_OF_CLIENTS: &str = "store/clients.rs";
/// Tables whose `client` column is not about whose row it is, and why.
const NOT_CLIENTS_DATA: &[(&str, &str)] = &[(
    "error_occurrences",
    "which client a failure came up for; operators read it, and it holds no data of theirs",
)];

#[test]
fn every_file_keeps_to_its_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "the sources are not where they were: {} files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a source file");
        wrong.extend(judge(&path, &text).into_iter().map(|why| format!("src/{path}: {why}")));
    }
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn tables_of_clients_data_are_spoken_of_by_the_type_that_knows_whose_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root.join("store"), &mut files);
    let migrations = fs::read_dir(root.join("store/migrations")).expect("migrations");
    let migrations =
        migrations.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("text"));
    let exempt = |table: &String| NOT_CLIENTS_DATA.iter().any(|(name, _)| name == table);
    let tables: Vec<String> =
        migrations.flat_map(|sql| tables_of_clients(&sql)).filter(|table| !exempt(table)).collect();
    for file in files {
        let path = file.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a source file");
        assert_eq!(speaks_of(&path, &text, &tables), None, "src/{path} goes past {ROWS_OF_CLIENTS}");
    }
    // And the guard itself, on what it must find and what it must leave alone.
    let sql = "CREATE TABLE notes (\n  id INTEGER,\n  client TEXT NOT NULL,\n  text TEXT\n) STRICT;\n\
               create table plain (id INTEGER, client_count INTEGER);\n-- CREATE TABLE x (client TEXT)\n";
    let tables = tables_of_clients(sql);
    assert_eq!(tables, ["notes"]);
    for (path, text, found) in [
        ("store/x.rs", "const Q: &str = \"SELECT text FROM notes WHERE id = ?1\";", true),
        ("store/x.rs", "const Q: &str = \"DELETE\n  FROM\n notes\";", true),
        ("store/x.rs", "const Q: &str = \"UPDATE notes SET text = ''\";", true),
        ("store/x.rs", "const Q: &str = \"SELECT 1 FROM plain, notes\";", true),
        ("store/x.rs", "const T: ClientTable = ClientTable { name: \"notes\", key: \"id\" };", false),
        ("store/x.rs", "// SELECT text FROM notes\nconst Q: &str = \"SELECT 1 FROM plain\";", false),
        ("store/clients.rs", "const Q: &str = \"SELECT text FROM notes\";", false),
    ] {
        assert_eq!(speaks_of(path, text, &tables).is_some(), found, "{path}: {text}");
    }
}

/// Every table of these statements that has a `client` column.
fn tables_of_clients(sql: &str) -> Vec<String> {
    let plain: String =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let statements =
        plain.split(';').map(|statement| words(statement).map(|(word, _)| word).collect::<Vec<_>>());
    let tables = statements.filter_map(|words| {
        let create = words.iter().position(|word| word.eq_ignore_ascii_case("create"))?;
        let is_table = words.get(create + 1).is_some_and(|word| word.eq_ignore_ascii_case("table"));
        (is_table && words.contains(&"client"))
            .then(|| words.get(create + 2).map(|name| (*name).to_owned()))?
    });
    tables.collect()
}

/// A statement in this file that names one of the tables.
fn speaks_of(path: &str, text: &str, tables: &[String]) -> Option<String> {
    if path == ROWS_OF_CLIENTS {
        return None;
    }
    let is_statement = |literal: &&String| {
        words(literal).any(|(word, _)| ["FROM", "INTO", "UPDATE", "JOIN", "TABLE"].contains(&word))
    };
    let names = |literal: &String| words(literal).any(|(word, _)| tables.iter().any(|table| table == word));
    read(text).literals.iter().filter(is_statement).find(|literal| names(literal)).cloned()
}

#[test]
fn the_table_in_the_crates_documentation_names_the_same_rooms() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    for (room, may) in FLOORS {
        let row = lib
            .lines()
            .find(|line| {
                line.starts_with("//! |")
                    && (line.contains(&format!("`{room}`")) || line.contains(&format!("`{room}/*`")))
            })
            .unwrap_or_else(|| panic!("src/lib.rs does not document the room `{room}`"));
        let says = row.rsplit('|').nth(1).expect("a last column").trim();
        if !says.contains("everything") && !says.contains("all of the above") {
            let said: Vec<&str> = says.split(", ").filter(|room| *room != "–").collect();
            assert_eq!(&said, may, "the row of `{room}`");
        }
    }
}

#[test]
fn planted_violations_are_found_and_what_only_looks_like_one_is_not() {
    for (path, text, found) in [
        ("store/x.rs", "use crate::agents::Supervisor;", "store must not import agents"),
        ("domain/x.rs", "use crate::{\n    config::Paths,\n};", "domain must not import config"),
        ("cli/x.rs", "use crate::{domain::{Fault, Role}, daemon::App};", "cli must not import daemon"),
        (
            "health/x.rs",
            "fn f() { crate::readiness::Readiness::checks(); }",
            "health must not import readiness",
        ),
        (
            "agents/x.rs",
            "#[cfg(test)] mod tests { use crate::health::Monitor; }",
            "agents must not import health",
        ),
        ("auth/x.rs", "use crate::helpers::f;", "`helpers` is no room"),
        ("attic/x.rs", "", "`attic` is no room"),
        ("bin/x.rs", "use agentctl::store::Store;", "bin must not import store"),
        ("health/x.rs", "fn f() { println!(\"{}\", 1); }", "prints"),
        ("daemon/x.rs", "fn f() { dbg!(1); }", "prints"),
        ("daemon/x.rs", "const Q: &str = \"SELECT 1\";", "speaks SQL"),
        ("agents/x.rs", "const Q: &str = r#\"\n  DELETE FROM runs\"#;", "speaks SQL"),
        ("agents/child/process.rs", "fn f() { unsafe { g() } }", "is unsafe"),
    ] {
        let wrong = judge(path, text);
        assert!(wrong.iter().any(|why| why.contains(found)), "{path}: {text}: {wrong:?}");
    }
    for (path, text) in [
        ("store/x.rs", "// use crate::agents::Supervisor;\n/* crate::health::X */"),
        ("store/x.rs", "const S: &str = \"crate::agents::X println!() \\\" unsafe\";"),
        ("store/x.rs", "const Q: &str = \"SELECT 1\"; const C: char = '\"'; use crate::domain::Fault;"),
        (
            "commands/x.rs",
            "fn f<'a>(x: &'a str) { println!(\"{x}\"); } use crate::{store::Store, cli::{Ctl, Exit}};",
        ),
        ("agents/child/exec.rs", "fn f() { unsafe { g() } }"),
        ("cli/x.rs", "fn f() { writeln!(out, \"Update it\"); sprint!(); } use crate::cli::Ui;"),
        ("domain/x.rs", "#![deny(unsafe_code)]"),
        ("lib.rs", "pub mod domain;"),
    ] {
        assert_eq!(judge(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

/// Everything that one file does and must not.
fn judge(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some((room, _)) = path.split_once('/') else { return wrong };
    let Some((_, may)) = FLOORS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("`{room}` is no room: give it a floor here and in src/lib.rs")];
    };
    let Source { code, literals } = read(text);
    for imported in imports(&code) {
        if !FLOORS.iter().any(|(name, _)| *name == imported) {
            wrong.push(format!("`{imported}` is no room: import across rooms by crate::room"));
        } else if imported != room && !may.contains(&imported.as_str()) {
            wrong.push(format!("{room} must not import {imported}"));
        }
    }
    let among = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    if !among(MAY_PRINT) && words(&code).any(|(word, next)| next == Some('!') && PRINTING.contains(&word)) {
        wrong.push("prints: only cli, commands and the programs do".into());
    }
    if !among(MAY_SPEAK_SQL)
        && literals.iter().any(|literal| SQL.iter().any(|sql| literal.trim_start().starts_with(sql)))
    {
        wrong.push("speaks SQL: only store does".into());
    }
    if !among(MAY_BE_UNSAFE) && words(&code).any(|(word, _)| word == "unsafe") {
        wrong.push("is unsafe: only agents/child/exec.rs may be".into());
    }
    wrong
}

/// The first segment after every `crate::` (`agentctl::` in a program), groups included.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "agentctl::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(heads(group)),
                None => found.extend(head(rest)),
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The first word of each member of `a, b::{c, d}, e}`.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut from, mut found) = (0usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.extend(head(&group[from..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(head(&group[from..at]));
                from = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// A room's name; a type or macro at the crate's root begins otherwise and is none.
fn head(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    word.starts_with(|c: char| c.is_ascii_lowercase()).then_some(word)
}

/// Every word of the code with the character that follows it.
fn words(code: &str) -> impl Iterator<Item = (&str, Option<char>)> {
    let mut rest = code;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| c.is_alphanumeric() || c == '_')?;
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tail.len());
        rest = &tail[end..];
        Some((&tail[..end], rest.chars().next()))
    })
}

/// A file without its comments, its string literals apart.
struct Source {
    code: String,
    literals: Vec<String>,
}

fn read(text: &str) -> Source {
    let (mut code, mut literals, mut rest) = (String::new(), Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if let Some((literal, after)) = literal(rest, &code) {
            literals.push(literal.to_owned());
            code.push('"');
            rest = after;
        } else if let Some(length) = character(rest) {
            code.push('\'');
            rest = &rest[length..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Source { code, literals }
}

/// A string literal, plain or raw, at the start of `text`, and what follows it.
fn literal<'a>(text: &'a str, before: &str) -> Option<(&'a str, &'a str)> {
    if let Some(body) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = body.find(|c| match c {
            _ if escaped => {
                escaped = false;
                false
            }
            '\\' => {
                escaped = true;
                false
            }
            c => c == '"',
        });
        let end = end.unwrap_or(body.len());
        return Some((&body[..end], body.get(end + 1..).unwrap_or_default()));
    }
    let raw = text.strip_prefix('r')?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with('b') {
        return None;
    }
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let body = raw[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).unwrap_or(body.len());
    Some((&body[..end], body.get(end + close.len()..).unwrap_or_default()))
}

/// The length of a character literal at the start of `text`; none for a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if body.starts_with('\\') {
        return Some(3 + body[2..].find('\'')?);
    }
    let c = body.chars().next()?;
    body[c.len_utf8()..].starts_with('\'').then_some(2 + c.len_utf8())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}
