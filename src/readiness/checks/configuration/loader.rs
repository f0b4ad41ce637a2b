//! Scratch manifests with one thing wrong are put before the daemon's own loader.
use crate::{
    config::{Sources, load},
    domain::Fault,
    readiness::{Evidence, Found, Proof, proof::blocking},
};
use std::{fs, path::Path};

const SOUND: &str = "schema = 1\n[[agent]]\nname = \"planted\"\nkind = \"process\"\n\
    options = { command = [\"/bin/true\"], environment = { API_KEY = \"env:API_KEY\" } }\n";

/// The sound manifest must be taken; with `wrong` in its agent it must be refused, in words that hold all of `naming`.
pub async fn refuses(evidence: &Evidence, wrong: &'static str, naming: &'static [&'static str]) -> Found {
    let plot = match evidence.ground.plot() {
        Ok(plot) => plot,
        Err(fault) => return fault.into(),
    };
    let bad = SOUND.replace("kind =", &format!("{wrong}\nkind ="));
    exercise_loader(plot.path().to_owned(), bad, naming, None).await
}

pub async fn hides(evidence: &Evidence) -> Found {
    let plot = match evidence.ground.plot() {
        Ok(plot) => plot,
        Err(fault) => return fault.into(),
    };
    // Made up here and now, in the form of a real one, so that no scanner finds one in our source.
    let secret = format!("sk-ant-api03-{}", (0..40).map(|_| fastrand::alphanumeric()).collect::<String>());
    let bad = SOUND.replace("env:API_KEY", &secret);
    exercise_loader(plot.path().to_owned(), bad, &["API_KEY"], Some(secret)).await
}

async fn exercise_loader(
    dir: std::path::PathBuf,
    bad: String,
    naming: &'static [&'static str],
    hidden: Option<String>,
) -> Found {
    let told = blocking(move || {
        let read = |name: &str, text: &str| -> Result<Option<String>, Fault> {
            let path = dir.join(name);
            fs::write(&path, text)
                .map_err(|error| Fault::internal(format!("cannot write a scratch manifest: {error}")))?;
            Ok(refusal(&path))
        };
        Ok((read("sound.toml", SOUND)?, read("wrong.toml", &bad)?))
    })
    .await;
    match told {
        Ok((sound, wrong)) => judge_loader(sound, wrong, naming, hidden.as_deref()),
        Err(fault) => fault.into(),
    }
}

/// What the loader says against a manifest; None if it takes it.
fn refusal(path: &Path) -> Option<String> {
    let kinds = crate::readiness::kinds();
    load(&Sources::file(path), &kinds).err().map(|problems| problems.render(false))
}

fn judge_loader(
    sound: Option<String>,
    wrong: Option<String>,
    naming: &[&str],
    hidden: Option<&str>,
) -> Found {
    let mut proof = Proof::default();
    match sound {
        None => proof.holds(true, "the sound manifest was taken"),
        Some(said) => proof.holds(false, format!("the sound manifest was refused: {said}")),
    };
    match wrong {
        None => proof.holds(false, "the wrong manifest was taken"),
        Some(said) => {
            let leaked = hidden.is_some_and(|secret| said.contains(secret));
            let shown = if leaked { "(withheld)".into() } else { said.clone() };
            proof.holds(true, format!("the wrong manifest was refused: {shown}"));
            let named = naming.iter().all(|name| said.contains(name));
            proof.holds(
                named,
                format!(
                    "the refusal {} {}",
                    if named { "names" } else { "does not name" },
                    naming.join(" and ")
                ),
            );
            proof.holds(
                !leaked,
                if leaked { "the refusal prints the secret" } else { "the refusal prints no secret" },
            )
        }
    };
    proof.judge("the loader refused the wrong manifest and took the sound one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[tokio::test]
    async fn the_real_loader_refuses_what_is_planted_and_a_lax_one_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let try_out = |wrong: &str, naming, hidden: Option<String>| {
            exercise_loader(
                dir.path().to_owned(),
                SOUND.replace("kind =", &format!("{wrong}\nkind =")),
                naming,
                hidden,
            )
        };
        for (wrong, naming, outcome) in [
            ("restrat = { policy = \"never\" }", &["restrat", "restart"][..], Outcome::Pass),
            ("tier = \"a\"\ntier = \"b\"", &["tier"], Outcome::Pass),
            ("tier = \"a\"", &["tier"], Outcome::Fail),
            ("restrat = 1", &["a word that it does not say"], Outcome::Fail),
        ] {
            let found = try_out(wrong, naming, None).await;
            assert_eq!(found.outcome, outcome, "{wrong}: {found:?}");
        }
        let secret = "sk-ant-api03-AbCdEfGh1234567890AbCdEfGh1234567890".to_owned();
        let bad = SOUND.replace("env:API_KEY", &secret);
        let found = exercise_loader(dir.path().to_owned(), bad, &["API_KEY"], Some(secret.clone())).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        assert!(!format!("{found:?}").contains(&secret));
        let leaky = judge_loader(None, Some(format!("API_KEY = {secret}")), &["API_KEY"], Some(&secret));
        assert_eq!(leaky.outcome, Outcome::Fail);
        assert!(!format!("{leaky:?}").contains(&secret), "the evidence repeats the secret");
    }
}
