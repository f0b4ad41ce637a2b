//! Secrets by reference: `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`. The file holds the reference, memory the value,
//! and no error the value or anything a program printed.
use crate::domain::{Fault, FaultKind};
use secrecy::SecretString;
use std::{env, process::Stdio, time::Duration};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

/// How long a program or a file may take to give its secret.
const DEADLINE: Duration = Duration::from_secs(10);
/// A secret is short; whatever gives more is not giving a secret.
const LONGEST: u64 = 64 << 10;

/// Does the text say where a secret is, instead of being one?
pub fn is_reference(text: &str) -> bool {
    ["env:", "file:", "exec:"].iter().any(|scheme| text.starts_with(scheme))
}

/// What is wrong with how a reference is written; a literal has nothing wrong with it.
pub fn check_reference(text: &str) -> Result<(), String> {
    if let Some(name) = text.strip_prefix("env:") {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(legal) {
            return Err("env: takes the name of an environment variable, as in env:API_KEY".into());
        }
    } else if let Some(path) = text.strip_prefix("file:") {
        if path.is_empty() || path.contains('\0') {
            return Err("file: takes a path, as in file:/run/secrets/api-key".into());
        }
    } else if let Some(line) = text.strip_prefix("exec:") {
        split_words(line)?;
    }
    Ok(())
}

/// The secret behind a reference; a literal passes through. A trailing newline is no part of it.
///
/// Refused: a variable that is unset or empty, a file or output above 64 KiB, a program that fails or takes longer
/// than 10 s, text that is not UTF-8.
pub async fn resolve(text: &str) -> Result<SecretString, Fault> {
    check_reference(text).map_err(|why| cannot(text, &why))?;
    let found = if let Some(name) = text.strip_prefix("env:") {
        env::var(name).map_err(|error| match error {
            env::VarError::NotPresent => cannot(text, "the variable is not set"),
            env::VarError::NotUnicode(_) => cannot(text, "it is not UTF-8"),
        })?
    } else if let Some(path) = text.strip_prefix("file:") {
        in_time(text, read_file(text, path)).await?
    } else if let Some(line) = text.strip_prefix("exec:") {
        in_time(text, run(text, line)).await?
    } else {
        return Ok(text.to_owned().into());
    };
    let found = found.strip_suffix('\n').map_or(&*found, |line| line.strip_suffix('\r').unwrap_or(line));
    if found.is_empty() { Err(cannot(text, "it is empty")) } else { Ok(found.to_owned().into()) }
}

async fn in_time(
    reference: &str,
    work: impl Future<Output = Result<String, Fault>>,
) -> Result<String, Fault> {
    let late = || cannot(reference, &format!("no answer within {}s", DEADLINE.as_secs()));
    timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(late()))
}

async fn read_file(reference: &str, path: &str) -> Result<String, Fault> {
    // A FIFO without a writer would hold a thread for good once opened.
    let plain = tokio::fs::metadata(path).await.map_err(|error| cannot(reference, &error.to_string()))?;
    if !plain.is_file() {
        return Err(cannot(reference, "it is not a file"));
    }
    let file = File::open(path).await.map_err(|error| cannot(reference, &error.to_string()))?;
    read(reference, file).await
}

async fn run(reference: &str, line: &str) -> Result<String, Fault> {
    let words = split_words(line).map_err(|why| cannot(reference, &why))?;
    let Some((program, args)) = words.split_first() else {
        return Err(cannot(reference, "it names no program"));
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // it may hold what we must not repeat
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot(reference, &error.to_string()))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(cannot(reference, "its output cannot be read"));
    };
    let output = read(reference, stdout).await?;
    let status = child.wait().await.map_err(|error| cannot(reference, &error.to_string()))?;
    if status.success() { Ok(output) } else { Err(cannot(reference, &format!("it ended with {status}"))) }
}

async fn read(reference: &str, from: impl AsyncRead + Unpin) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| cannot(reference, &error.to_string()))?;
    if bytes.len() as u64 > LONGEST {
        return Err(cannot(reference, "it is longer than 64 KiB"));
    }
    // The error of `from_utf8` carries the bytes: drop it.
    String::from_utf8(bytes).map_err(|_| cannot(reference, "it is not UTF-8"))
}

fn cannot(reference: &str, why: &str) -> Fault {
    let shown = super::suspect::mask(reference);
    Fault::new(FaultKind::Config, format!("cannot resolve {}: {why}", shown.escape_debug()))
        .hint("the daemon must be able to see it, under its own user and environment")
}

/// Words as a shell would split them: quotes and backslashes, and nothing is expanded.
fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next().ok_or("exec: ends in a backslash")?;
                let word = word.get_or_insert_default();
                // Inside double quotes a backslash escapes only what is special there.
                if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, '\0') => return Err("exec: holds a NUL".into()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("exec: has a quote without an end".into());
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err(
            "exec: takes a program and its arguments, as in exec:vault read -field=key secret/api".into()
        );
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    async fn value(reference: &str) -> Result<String, String> {
        resolve(reference).await.map(|s| s.expose_secret().to_owned()).map_err(|fault| fault.message)
    }

    #[test]
    fn words_are_split_and_never_expanded() {
        let cases: &[(&str, Result<&[&str], &str>)] = &[
            ("a  b\tc", Ok(&["a", "b", "c"])),
            (r#"a 'b c' "d \" e" f\ g"#, Ok(&["a", "b c", "d \" e", "f g"])),
            (r"a '' '\n' $HOME `id` *", Ok(&["a", "", r"\n", "$HOME", "`id`", "*"])),
            ("", Err("takes a program")),
            ("'' a", Err("takes a program")),
            ("a 'b", Err("quote without an end")),
            ("a \\", Err("backslash")),
        ];
        for (line, want) in cases {
            match (split_words(line), want) {
                (Ok(words), Ok(want)) => assert_eq!(words, *want, "{line}"),
                (Err(why), Err(want)) => assert!(why.contains(want), "{line}: {why}"),
                (got, want) => panic!("{line}: {got:?}, want {want:?}"),
            }
        }
    }

    #[tokio::test]
    async fn each_reference_gives_its_value_without_the_last_newline() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        std::fs::write(&path, "from-file\n").expect("a file");
        assert_eq!(value(&format!("file:{}", path.display())).await.as_deref(), Ok("from-file"));
        assert_eq!(value("exec:printf '%s\\n' 'two words'").await.as_deref(), Ok("two words"));
        assert_eq!(value("plain").await.as_deref(), Ok("plain"));
        let home = env::var("PATH").expect("PATH");
        assert_eq!(value("env:PATH").await, Ok(home));
    }

    #[tokio::test]
    async fn what_cannot_be_resolved_is_refused_by_name_and_without_its_output() {
        let dir = tempfile::tempdir().expect("a directory");
        let big = dir.path().join("big");
        std::fs::write(&big, vec![b'x'; 70_000]).expect("a file");
        let cases = [
            ("env:AGENTD_NO_SUCH_VARIABLE_HERE".to_owned(), "not set"),
            ("env:".to_owned(), "takes the name"),
            ("env:A-B".to_owned(), "takes the name"),
            ("file:".to_owned(), "takes a path"),
            (format!("file:{}", dir.path().display()), "not a file"),
            (format!("file:{}/none", dir.path().display()), "No such file"),
            (format!("file:{}", big.display()), "longer than 64 KiB"),
            ("exec:".to_owned(), "takes a program"),
            ("exec:/no/such/program".to_owned(), "No such file"),
            ("exec:sh -c 'echo topsecret; echo topsecret >&2; exit 3'".to_owned(), "exit status: 3"),
            ("exec:true".to_owned(), "empty"),
            ("exec:printf '\\377'".to_owned(), "not UTF-8"),
            ("exec:head -c 70000 /dev/zero".to_owned(), "longer than 64 KiB"),
        ];
        for (reference, want) in cases {
            let fault = resolve(&reference).await.expect_err("it was resolved");
            assert_eq!(fault.kind, FaultKind::Config);
            assert!(fault.message.starts_with("cannot resolve"), "{}", fault.message);
            let why = fault.message.rsplit(": ").next().unwrap_or_default();
            assert!(fault.message.contains(want), "{reference}: {}", fault.message);
            assert!(!why.contains("topsecret"), "output in the error: {why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_never_answers_is_given_up_and_killed() {
        let dir = tempfile::tempdir().expect("a directory");
        let pid = dir.path().join("pid");
        let line = format!("exec:sh -c 'echo $$ > {}; exec sleep 600'", pid.display());
        let fault = resolve(&line).await.expect_err("it answered");
        assert!(fault.message.contains("no answer within 10s"), "{}", fault.message);
    }
}
