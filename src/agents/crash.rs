//! Why an instance ended, from its exit status and its last lines. Pure; the lines are untrusted text.
use super::child::Ended;
use crate::domain::CrashClass;
use regex::RegexSet;
use std::sync::LazyLock;

/// What a line must look like to tell a class. Earlier rows win when one line matches several.
const SIGNS: &[(CrashClass, &str)] = &[
    // Python
    (CrashClass::Import, r"^(ModuleNotFoundError|ImportError)\b"),
    (CrashClass::Import, r"Error loading ASGI app\. Could not import module"),
    (CrashClass::Import, r"No module named "),
    (CrashClass::PortInUse, r"(?i)\baddress (is )?already in use\b"),
    (CrashClass::PortInUse, r"\bEADDRINUSE\b|\[Errno 98\]"),
    (CrashClass::PortInUse, r"BindException|(?i:\bport \d+ is already in use\b)"),
    (CrashClass::OutOfMemory, r"^MemoryError\b|Cannot allocate memory|\[Errno 12\]"),
    (CrashClass::OutOfMemory, r"JavaScript heap out of memory|java\.lang\.OutOfMemoryError"),
    (
        CrashClass::OutOfMemory,
        r"memory allocation of \d+ bytes failed|fatal error: runtime: out of memory|std::bad_alloc",
    ),
    (CrashClass::Database, r"\b(psycopg2?|asyncpg|sqlalchemy|pymysql|MySQLdb|aiomysql)\b.*(Error|Exception)"),
    (
        CrashClass::Database,
        r"^(sqlite3\.)?OperationalError\b|^sqlite3\.\w+Error\b|SQLITE_(CANTOPEN|CORRUPT|NOTADB)",
    ),
    (
        CrashClass::Database,
        r"ECONNREFUSED .*:(5432|3306|6379|27017)\b|port (5432|3306|6379|27017)\D.*(failed|refused)",
    ),
    (
        CrashClass::Database,
        r"redis\.exceptions\.\w+Error|password authentication failed for user|org\.postgresql\.util",
    ),
    (
        CrashClass::Configuration,
        r"^(pydantic\S*\.)?ValidationError\b|validation errors? for \w*(Settings|Config)",
    ),
    (CrashClass::Configuration, r"^KeyError: '[A-Z][A-Z0-9_]+'|ImproperlyConfigured|environs\.\S*Error"),
    (
        CrashClass::Configuration,
        r"(?i)(missing|required|undefined) environment variable|environment variable \S+ (is )?(not set|missing|required|not found)",
    ),
    (
        CrashClass::Configuration,
        r"EnvVarError|(?i)\b(invalid|bad) configuration\b|(?i)^(error: )?unrecognized arguments?\b",
    ),
    // Node, Java, the dynamic loader
    (CrashClass::Import, r"Cannot find (module|package) '|ERR_MODULE_NOT_FOUND"),
    (CrashClass::Import, r"ClassNotFoundException|NoClassDefFoundError"),
    (CrashClass::Import, r"error while loading shared libraries|version `GLIBC\S*' not found"),
    (CrashClass::NotExecutable, r"[Ee]xec format error|bad interpreter"),
];

/// Lines that say a little where no sign is found: the last error is better than the last line.
const TELLING: &str = r"(?i)\b(error|exception|panic(ked)?|fatal|failed|refused|denied|cannot)\b";

static TABLE: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(SIGNS.iter().map(|(_, sign)| *sign).chain([TELLING])).ok());

/// The class, and the line that says most, cut to 300 characters. `lines` oldest first. `out_of_memory` is
/// evidence from the cgroup: a KILL alone proves nothing.
pub fn classify<L: AsRef<str>>(
    ended: Ended,
    lines: &[L],
    out_of_memory: bool,
) -> (CrashClass, Option<String>) {
    // The last sign counts: earlier ones may have been survived.
    let mut sign: Option<(CrashClass, &str)> = None;
    let mut telling = None;
    for line in lines.iter().rev().map(|line| line.as_ref().trim()).filter(|line| !line.is_empty()) {
        let Some(table) = TABLE.as_ref() else { break };
        let matches = table.matches(line);
        if let Some(row) = matches.iter().find(|row| *row < SIGNS.len()) {
            sign = Some((SIGNS[row].0, line));
            break;
        }
        if telling.is_none() && matches.matched(SIGNS.len()) {
            telling = Some(line);
        }
    }
    let last = lines.iter().rev().map(|line| line.as_ref().trim()).find(|line| !line.is_empty());
    let words = sign.map(|(_, line)| line).or(telling).or(last).map(|line| line.chars().take(300).collect());
    let class = match (out_of_memory, sign, ended.code) {
        (true, ..) => CrashClass::OutOfMemory,
        (_, Some((class, _)), _) => class,
        (_, None, Some(126 | 127)) => CrashClass::NotExecutable,
        _ => CrashClass::Unknown,
    };
    (class, words)
}

/// Can another start of the same thing succeed? A port may become free and a database may come back; a module that
/// is missing stays missing until somebody acts.
pub fn may_succeed(class: CrashClass) -> bool {
    !matches!(class, CrashClass::Import | CrashClass::Configuration | CrashClass::NotExecutable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT_1: Ended = Ended { code: Some(1), signal: None };

    #[test]
    fn what_real_programs_print_is_classified() {
        use CrashClass as C;
        for (class, text) in [
            (
                C::Import,
                "Traceback (most recent call last):\n  File \"a.py\", line 1\nModuleNotFoundError: No module named 'fastapi'",
            ),
            (C::Import, "ImportError: cannot import name 'x' from 'y' (/a/y.py)"),
            (C::Import, "ERROR:    Error loading ASGI app. Could not import module \"main\"."),
            (C::Import, "/usr/bin/python3: No module named uvicorn"),
            (
                C::PortInUse,
                "INFO:     Started server process [9]\nERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use\nINFO:     Waiting for application shutdown.",
            ),
            (
                C::PortInUse,
                "[ERROR] Connection in use: ('0.0.0.0', 80)\nOSError: [Errno 98] Address already in use",
            ),
            (
                C::Configuration,
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings\ndatabase_url\n  Field required",
            ),
            (C::Configuration, "    raise KeyError(key) from None\nKeyError: 'OPENAI_API_KEY'"),
            (
                C::Database,
                "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection to server at \"localhost\", port 5432 failed: Connection refused",
            ),
            (C::Database, "asyncpg.exceptions.InvalidCatalogNameError: database \"x\" does not exist"),
            (C::Database, "sqlite3.OperationalError: unable to open database file"),
            (C::Database, "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379."),
            (C::OutOfMemory, "MemoryError"),
            (C::Import, "Error: Cannot find module 'express'\nRequire stack:\n- /srv/a.js"),
            (C::PortInUse, "Error: listen EADDRINUSE: address already in use :::3000"),
            (C::Database, "Error: connect ECONNREFUSED 127.0.0.1:5432"),
            (
                C::OutOfMemory,
                "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            ),
            (
                C::PortInUse,
                "thread 'main' panicked: Os { code: 98, kind: AddrInUse, message: \"Address already in use\" }",
            ),
            (C::OutOfMemory, "memory allocation of 8589934592 bytes failed"),
            (C::PortInUse, "listen tcp :8080: bind: address already in use"),
            (C::OutOfMemory, "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space"),
            (C::Import, "java.lang.ClassNotFoundException: com.example.Main"),
            (
                C::Import,
                "./a: error while loading shared libraries: libpq.so.5: cannot open shared object file",
            ),
            (C::Unknown, "ZeroDivisionError: division by zero"),
            (C::Unknown, "KeyError: 'lower_case_is_data'"),
            (C::Unknown, ""),
        ] {
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(classify(EXIT_1, &lines, false).0, class, "{text}");
        }
    }

    #[test]
    fn a_kill_alone_proves_nothing_and_exit_codes_of_a_shell_do() {
        let ended = |code, signal| Ended { code, signal };
        let none: [&str; 0] = [];
        assert_eq!(classify(ended(None, Some(9)), &none, false).0, CrashClass::Unknown);
        assert_eq!(classify(ended(Some(137), None), &none, false).0, CrashClass::Unknown);
        assert_eq!(classify(ended(None, Some(9)), &none, true).0, CrashClass::OutOfMemory);
        assert_eq!(classify(ended(Some(126), None), &none, false).0, CrashClass::NotExecutable);
        assert_eq!(
            classify(ended(Some(127), None), &["sh: 1: nope: not found"], false).0,
            CrashClass::NotExecutable
        );
    }

    #[test]
    fn the_last_sign_wins_and_its_line_is_quoted_cut() {
        let lines = [
            "ModuleNotFoundError: No module named 'orjson'",
            "OSError: [Errno 98] Address already in use",
            "bye",
        ];
        let (class, words) = classify(EXIT_1, &lines, false);
        assert_eq!((class, words.as_deref()), (CrashClass::PortInUse, Some(lines[1])));
        let (_, words) = classify(EXIT_1, &["ValueError: not an error we know", "  "], false);
        assert_eq!(words.as_deref(), Some("ValueError: not an error we know"));
        let (_, words) = classify(EXIT_1, &["é".repeat(1000)], false);
        assert_eq!(words.map(|words| words.chars().count()), Some(300));
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_again() {
        let hopeless = [CrashClass::Import, CrashClass::Configuration, CrashClass::NotExecutable];
        assert!(hopeless.into_iter().all(|class| !may_succeed(class)));
        assert!(
            [CrashClass::PortInUse, CrashClass::Database, CrashClass::Unknown].into_iter().all(may_succeed)
        );
    }
}
