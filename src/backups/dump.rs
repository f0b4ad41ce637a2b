//! Databases of the applications: dumped into a backup, and restored from one into a database that is there for drills.
use super::{
    outside::Program,
    shelf::{self, private},
};
use crate::{
    config::{self, BackupDatabase, BackupDatabaseKind},
    domain::{Fault, FaultCategory, FaultKind},
};
use secrecy::{ExposeSecret, SecretString};
use std::{fs::File, path::Path};

const URL: &str = "DATABASE_URL";
const PASSWORD: &str = "PGPASSWORD";
const KEY: &str = "AGENTD_OPERATION_KEY";

/// An empty dump is none.
pub(super) async fn dump(database: &BackupDatabase, to: &Path) -> Result<(), Fault> {
    let file = private(to).map_err(|error| shelf::cannot("write", to, &error))?;
    let kept = file.try_clone().map_err(|error| shelf::cannot("write", to, &error))?;
    let (argv, secrets) = match database.kind {
        BackupDatabaseKind::Postgres => {
            let (url, secrets) = postgres(database, database.url.as_deref()).await?;
            (words(&["pg_dump", "--format=custom", "--no-password"], &url), secrets)
        }
        BackupDatabaseKind::Command => (database.dump.clone(), command(database.url.as_deref()).await?),
    };
    let called = format!("the dump of {}", database.name);
    let program = Program {
        argv,
        secrets,
        told: Vec::new(),
        input: None,
        output: Some(file),
        deadline: database.deadline,
        called: &called,
    };
    program.run().await.map_err(|why| failed(database, "dump", &why))?;
    let about = kept.sync_all().and_then(|()| kept.metadata());
    match about.map_err(|error| shelf::cannot("write", to, &error))?.len() {
        0 => Err(failed(database, "dump", "the dump is empty")),
        _ => Ok(()),
    }
}

/// Into its database for drills, in the place of all that is there. None where there is no such database.
pub(super) async fn try_out(database: &BackupDatabase, dump: &Path) -> Option<Result<(), Fault>> {
    let url = database.drill_url.as_deref()?;
    Some(try_out_at(database, url, dump).await)
}

/// Into the database itself, in the place of all that is there. A declared program is told the key of what it is run for:
/// run again after a crash, it can know that it is the same.
pub(super) async fn put_back(database: &BackupDatabase, dump: &Path, key: &str) -> Result<(), Fault> {
    let key = format!("{key}/{}", database.name);
    restore(database, "put back", database.url.as_deref(), dump, Some(key)).await
}

/// Why it could not be put back; None where it could.
pub(super) fn no_way_back(database: &BackupDatabase) -> Option<&'static str> {
    match database.kind {
        BackupDatabaseKind::Command if database.restore.is_empty() => Some("it declares no `restore`"),
        BackupDatabaseKind::Postgres if database.url.is_none() => Some("it declares no `url`"),
        BackupDatabaseKind::Command | BackupDatabaseKind::Postgres => None,
    }
}

async fn try_out_at(database: &BackupDatabase, url: &str, dump: &Path) -> Result<(), Fault> {
    let what = "try out the dump of";
    if let Some(live) = database.url.as_deref()
        && config::resolve(live).await?.expose_secret() == config::resolve(url).await?.expose_secret()
    {
        let why = "its drill_url is the database itself, whose content a drill would replace";
        return Err(failed(database, what, why));
    }
    restore(database, what, Some(url), dump, None).await
}

async fn restore(
    database: &BackupDatabase,
    what: &str,
    url: Option<&str>,
    dump: &Path,
    key: Option<String>,
) -> Result<(), Fault> {
    if let Some(why) = no_way_back(database) {
        return Err(failed(database, what, why));
    }
    let file = File::open(dump).map_err(|error| shelf::cannot("read", dump, &error))?;
    let (argv, secrets) = match database.kind {
        BackupDatabaseKind::Postgres => {
            let (url, secrets) = postgres(database, url).await?;
            let how = ["pg_restore", "--exit-on-error", "--single-transaction", "--clean", "--if-exists"];
            (words(&[&how[..], &["--no-owner", "--no-acl", "--no-password"]].concat(), &url), secrets)
        }
        BackupDatabaseKind::Command => (database.restore.clone(), command(url).await?),
    };
    let called = format!("the restore of {}", database.name);
    let told = key.map(|key| (KEY, key)).into_iter().collect();
    let program = Program {
        argv,
        secrets,
        told,
        input: Some(file),
        output: None,
        deadline: database.deadline,
        called: &called,
    };
    program.run().await.map_err(|why| failed(database, what, &why))
}

fn words(program: &[&str], url: &str) -> Vec<String> {
    let words = program.iter().map(|word| (*word).to_owned());
    words.chain([format!("--dbname={url}")]).collect()
}

async fn command(url: Option<&str>) -> Result<Vec<(&'static str, SecretString)>, Fault> {
    let Some(url) = url else { return Ok(Vec::new()) };
    Ok(vec![(URL, config::resolve(url).await?)])
}

/// Its address without the password, and the password apart: arguments are everybody's to see.
async fn postgres(
    database: &BackupDatabase,
    url: Option<&str>,
) -> Result<(String, Vec<(&'static str, SecretString)>), Fault> {
    let url = config::resolve(url.unwrap_or_default()).await?;
    let (address, password) = split(url.expose_secret())
        .map_err(|why| failed(database, "reach", why).category(FaultCategory::Configuration))?;
    Ok((address, password.map(|password| (PASSWORD, password)).into_iter().collect()))
}

fn split(url: &str) -> Result<(String, Option<SecretString>), &'static str> {
    let (scheme, rest) =
        url.split_once("://").ok_or("its url is no address: postgresql://USER@HOST/DATABASE")?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err("its url does not begin with postgresql://");
    }
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let end = place.find('/').unwrap_or(place.len());
    let (user, host) = match place[..end].rfind('@') {
        Some(at) => (Some(&place[..at]), &place[at + 1..]),
        None => (None, place),
    };
    let mut password = None;
    let user = user.map(|user| match user.split_once(':') {
        Some((name, word)) => {
            password = Some(decoded(word)?);
            Ok::<_, &'static str>(format!("{name}@"))
        }
        None => Ok(format!("{user}@")),
    });
    let user = user.transpose()?.unwrap_or_default();
    let mut kept = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("password", word)) => password = Some(decoded(word)?),
            Some((name, _)) if config::name_is_secret(name) => {
                return Err("its url holds a secret other than the password, which would be seen");
            }
            _ => kept.push(pair),
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok((format!("{scheme}://{user}{host}{query}"), password))
}

fn decoded(word: &str) -> Result<SecretString, &'static str> {
    const WRONG: &str = "its password is not written as an address takes it";
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(WRONG)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map(Into::into).map_err(|_| WRONG)
}

fn failed(database: &BackupDatabase, what: &str, why: &str) -> Fault {
    Fault::new(FaultKind::Unavailable, format!("cannot {what} database {}: {why}", database.name))
        .category(FaultCategory::ExternalService)
        .hint("its entry is under [[backups.database]]; without a dump of it there is no backup")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Period;

    #[test]
    fn a_password_never_stays_in_an_address() {
        for (url, address, password) in [
            ("postgres://a:b@h:5/d", "postgres://a@h:5/d", Some("b")),
            ("postgresql://a@h/d?sslmode=require", "postgresql://a@h/d?sslmode=require", None),
            ("postgresql://h/d", "postgresql://h/d", None),
            ("postgresql://a:p%40ss%2fw@h/d", "postgresql://a@h/d", Some("p@ss/w")),
            ("postgresql://a:b@c@h/d", "postgresql://a@h/d", Some("b@c")),
            ("postgresql:///d?password=x&user=u", "postgresql:///d?user=u", Some("x")),
            ("postgresql://a:b@h/d?password=x", "postgresql://a@h/d", Some("x")),
        ] {
            let (seen, hidden) = split(url).expect(url);
            assert_eq!(
                (seen.as_str(), hidden.as_ref().map(ExposeSecret::expose_secret)),
                (address, password)
            );
        }
        for wrong in ["", "h/d", "mysql://a@h/d", "postgres://a:%zz@h/d", "postgres://h/d?sslpassword=x"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    fn by_command(dump: &str) -> BackupDatabase {
        BackupDatabase {
            name: "orders".into(),
            kind: BackupDatabaseKind::Command,
            url: Some("postgres://live".into()),
            drill_url: None,
            dump: ["sh", "-c", dump].map(str::to_owned).into(),
            restore: ["sh", "-c", "grep -q tea"].map(str::to_owned).into(),
            deadline: Period::secs(60),
        }
    }

    #[tokio::test]
    async fn a_dump_that_fails_or_is_empty_is_none() {
        let home = tempfile::tempdir().expect("a directory");
        let sound = home.path().join("sound");
        dump(&by_command("echo tea of $DATABASE_URL"), &sound).await.expect("dumped");
        assert_eq!(std::fs::read_to_string(&sound).expect("read"), "tea of postgres://live\n");
        for (what, script) in
            [("empty", "true"), ("exit status: 1", "echo half; exit 1"), ("signal", "kill -9 $$")]
        {
            let fault = dump(&by_command(script), &home.path().join(what)).await.expect_err(what);
            assert!(fault.message.contains(what), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn a_dump_is_put_back_under_its_key_where_a_way_back_is_declared() {
        let home = tempfile::tempdir().expect("a directory");
        let (good, bad, log) = (home.path().join("good"), home.path().join("bad"), home.path().join("log"));
        std::fs::write(&good, "tea").expect("written");
        std::fs::write(&bad, "rice").expect("written");
        let mut database = by_command("true");
        let script = format!("grep -q tea && echo $AGENTD_OPERATION_KEY $DATABASE_URL >> {}", log.display());
        database.restore = ["sh".into(), "-c".into(), script].into();
        put_back(&database, &good, "op-1/restore-external").await.expect("put back");
        assert!(put_back(&database, &bad, "op-1/restore-external").await.is_err());
        let said = std::fs::read_to_string(&log).expect("read");
        assert_eq!(said, "op-1/restore-external/orders postgres://live\n");
        assert_eq!(no_way_back(&database), None);
        database.restore.clear();
        let fault = put_back(&database, &good, "op-1/restore-external").await.expect_err("put back");
        assert!(fault.message.contains("no `restore`"), "{fault:?}");
    }

    #[tokio::test]
    async fn a_dump_is_tried_out_where_that_was_declared_and_never_on_the_database_itself() {
        let home = tempfile::tempdir().expect("a directory");
        let (good, bad) = (home.path().join("good"), home.path().join("bad"));
        std::fs::write(&good, "tea").expect("written");
        std::fs::write(&bad, "rice").expect("written");
        let mut database = by_command("true");
        assert!(try_out(&database, &good).await.is_none());
        database.drill_url = Some("postgres://scratch".into());
        assert!(try_out(&database, &good).await.expect("tried").is_ok());
        assert!(try_out(&database, &bad).await.expect("tried").is_err());
        database.drill_url.clone_from(&database.url);
        let fault = try_out(&database, &good).await.expect("tried").expect_err("refused");
        assert!(fault.message.contains("the database itself"), "{fault:?}");
    }
}
