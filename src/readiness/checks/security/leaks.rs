//! Agents' directories are searched for secrets and private keys. What is planted must be found first.
use super::trees;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{
        Evidence, Found, Ground, Proof,
        check::settle,
        leaks::{Bounds, SEARCHED, Searched, search},
        proof::blocking,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How many leaks, and paths of other kinds, are named in the evidence.
const SHOWN: usize = 25;
/// Of a check's time; the rest is for saying what was found.
const SHARE: f64 = 0.8;
/// More would only wait for the disk, and the fleet is served by the same cores.
const THREADS: usize = 4;

pub async fn searched(evidence: &Evidence) -> Found {
    let (settings, fleet) = (evidence.settings.clone(), evidence.fleet().clone());
    let time = settings.readiness.check_deadline.0.mul_f64(SHARE);
    let plan = Plan {
        until: Instant::now() + time,
        time,
        honor_ignore_files: settings.readiness.honor_ignore_files,
        key: evidence.store.fleet_id().as_bytes().to_vec(),
        search,
    };
    let trees = blocking(move || Ok(trees::of(&settings, &fleet))).await;
    match trees {
        Ok(trees) => {
            exercise(&evidence.ground, (trees.into_iter().map(|tree| tree.root).collect(), plan)).await
        }
        Err(fault) => fault.into(),
    }
}

struct Plan {
    until: Instant,
    time: Duration,
    honor_ignore_files: bool,
    /// Random and of this fleet: it keys the digests that a waiver holds on to.
    key: Vec<u8>,
    search: fn(&[PathBuf], &Bounds) -> Searched,
}

impl Plan {
    fn look(&self, roots: &[PathBuf]) -> Searched {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let (honor_ignore_files, key) = (self.honor_ignore_files, self.key.clone());
        (self.search)(roots, &Bounds { until: self.until, threads, honor_ignore_files, key })
    }
}

async fn exercise(ground: &Ground, (roots, plan): (Vec<PathBuf>, Plan)) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        blocking(move || {
            let planted = plant(plot.path())
                .map_err(|error| Fault::internal(format!("cannot plant a secret: {error}")))?;
            let proof = told_apart(&planted, &plan.look(&[plot.path().to_owned()]));
            if roots.is_empty() && !proof.broken() {
                return Ok(Found::not_applicable("no agent has a working directory or a script of its own"));
            }
            Ok(judge(proof, &roots, &plan.look(&roots), &plan))
        })
        .await
    };
    settle(exercise.await)
}

/// A planted file, what it holds, and whether that is a secret.
type Planted = Vec<(PathBuf, &'static str, bool)>;

fn plant(dir: &Path) -> io::Result<Planted> {
    let random = |length: usize| (0..length).map(|_| fastrand::alphanumeric()).collect::<String>();
    let key = format!("-----BEGIN {} KEY-----\n{}\n{}\n", "PRIVATE", random(64), random(64));
    // Digits strewn in, so that chance cannot make it look like words.
    let strewn: String = (0..12).map(|at| format!("{}{}", random(2), at % 10)).collect();
    let files = [
        ("deep/er/id_test", "a private key", key.clone(), true),
        ("config.json", "an API key", format!("{{\n \"k\": \"sk-ant-api03-{}7x\"\n}}", random(50)), true),
        (".env", "a random value under a secret's name", format!("A=1\nCLIENT_SECRET={strewn}\n"), true),
        ("settings.py", "a password in a URL", format!("DB = 'postgres://app:{strewn}@db/orders'\n"), true),
        ("token.txt", "a token whose checksum is wrong", format!("ghp_{}000000\n", random(30)), false),
        (
            "sample.env",
            "a placeholder",
            "API_KEY=your-key-here\nSECRET=<secret>\nPASSWORD=env:PASSWORD\n".into(),
            false,
        ),
        ("data.bin", "a private key in a binary file", format!("\0{key}"), false),
    ];
    let mut planted = Vec::new();
    for (name, what, text, secret) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(&path, text)?;
        planted.push((path, what, secret));
    }
    Ok(planted)
}

fn told_apart(planted: &Planted, found: &Searched) -> Proof {
    let mut proof = Proof::default();
    for (path, what, secret) in planted {
        let hit = found.leaks.iter().any(|leak| leak.path == *path);
        let did = if hit { "found" } else { "not found" };
        proof.holds(hit == *secret, format!("planted: {what} was {did}"));
    }
    let counted = found.binary == 1;
    proof.holds(counted, format!("planted: {} binary files were counted as not searched", found.binary));
    proof
}

fn judge(mut proof: Proof, roots: &[PathBuf], found: &Searched, plan: &Plan) -> Found {
    let blind = proof.broken();
    let mut files: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
    for leak in &found.leaks {
        files.entry(&leak.path).or_default().push(&leak.digest);
    }
    for leak in found.leaks.iter().take(SHOWN) {
        proof.holds(false, format!("{}:{}: {}", leak.path.display(), leak.line, leak.what));
    }
    let (count, where_) = (found.leaks.len(), files.len());
    let good = format!("no secret in {} files of {} directories", found.files, roots.len());
    let mut told = proof.judge(good);
    if count > SHOWN {
        told = told.seen(format!("and {} more", count - SHOWN));
    }
    told = told.all_seen(account(found, roots, plan));
    if count > 0 && !blind {
        told.summary = format!("{count} secrets stand in {where_} files of agents' directories");
    } else if !blind && (found.cut_off || found.unreads > 0) {
        // What was not searched may hold one.
        let why = if found.cut_off {
            format!(
                "the search was cut off after {:.0} s: {} files were searched, the rest was not",
                plan.time.as_secs_f64(),
                found.files
            )
        } else {
            format!("{} paths could not be read, so they were not searched", found.unreads)
        };
        told = Found { evidence: told.evidence, ..Found::error(why) };
    }
    files
        .into_iter()
        .fold(told, |told, (path, digests)| told.about(format!("file/{}", path.display()), digests.join(" ")))
}

/// What was searched and what was not.
fn account(found: &Searched, roots: &[PathBuf], plan: &Plan) -> Vec<String> {
    let names = |paths: &[PathBuf]| {
        paths.iter().take(5).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![
        format!(
            "directories: {}{}",
            names(roots),
            if roots.len() > 5 { format!(" and {} more", roots.len() - 5) } else { String::new() }
        ),
        format!("{} files, {:.1} MiB", found.files, found.bytes as f64 / f64::from(1 << 20)),
        format!("not searched: {} binary files, {} links", found.binary, found.links),
    ];
    if found.in_parts > 0 {
        lines.push(format!(
            "searched in their first {} KiB alone: {} files ({})",
            SEARCHED >> 10,
            found.in_parts,
            names(&found.in_part)
        ));
    }
    if found.left_out > 0 {
        let by = if plan.honor_ignore_files { "ignore files and " } else { "" };
        lines.push(format!("left out by {by}the form of a git store: {} paths", found.left_out));
    }
    lines.extend(found.unread.iter().take(5).map(|line| format!("cannot read {line}")));
    lines
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-007",
    at_work: || {
        async {
            let home = tempfile::tempdir().expect("a directory");
            let tree = |name: &str, text: &str| {
                let dir = home.path().join(name).join("src");
                fs::create_dir_all(&dir).expect("made");
                fs::write(dir.join("main.py"), text).expect("written");
                vec![home.path().join(name)]
            };
            let plan = |search| Plan {
                until: Instant::now() + Duration::from_secs(60),
                time: Duration::from_secs(60),
                honor_ignore_files: false,
                key: b"key".to_vec(),
                search,
            };
            let key = format!("sk-proj-{}1a", (0..50).map(|_| fastrand::alphanumeric()).collect::<String>());
            let sound = "import os\nAPI_KEY = os.environ['API_KEY']\n";
            let broken = [
                ("an API key in a source file", (tree("a", &format!("client('{key}')\n")), plan(search))),
                ("a search that finds nothing", (tree("b", sound), plan(|_, _| Searched::default()))),
                ("a search that finds all", {
                    let all = |roots: &[PathBuf], bounds: &Bounds| {
                        let mut found = search(roots, bounds);
                        let leak = |name: &str| crate::readiness::leaks::Leak {
                            path: roots[0].join(name),
                            line: 1,
                            what: "all",
                            digest: String::new(),
                        };
                        found.leaks.extend([leak("sample.env"), leak("token.txt")]);
                        found
                    };
                    (tree("c", sound), plan(all))
                }),
            ];
            let tried = tried(exercise, (tree("d", sound), plan(search)), broken).await;
            for (what, found) in &tried.broken {
                assert!(!format!("{found:?}").contains(&key), "{what}: the evidence repeats the key");
            }
            tried
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[tokio::test]
    async fn what_was_not_searched_is_no_pass_and_no_tree_is_nothing_to_judge() {
        let (base, ground) = crate::readiness::checks::scratch_ground();
        let plan = |search| Plan {
            until: Instant::now() + Duration::from_secs(60),
            time: Duration::from_secs(16),
            honor_ignore_files: false,
            key: b"key".to_vec(),
            search,
        };
        let cut_off = |roots: &[PathBuf], bounds: &Bounds| {
            let late = roots.iter().any(|root| root.ends_with("tree"));
            let until = if late { Instant::now() } else { bounds.until };
            search(roots, &Bounds { until, key: bounds.key.clone(), ..*bounds })
        };
        let tree = base.path().join("tree");
        fs::create_dir(&tree).expect("made");
        let found = exercise(&ground, (vec![tree.clone()], plan(cut_off))).await;
        assert_eq!(found.outcome, Outcome::Error, "{found:?}");
        let gone = vec![base.path().join("none")];
        assert_eq!(exercise(&ground, (gone, plan(search))).await.outcome, Outcome::Error);
        assert_eq!(exercise(&ground, (Vec::new(), plan(search))).await.outcome, Outcome::NotApplicable);
        assert_eq!(exercise(&ground, (vec![tree], plan(search))).await.outcome, Outcome::Pass);
    }
}
