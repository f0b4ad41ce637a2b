//! From sources to settings: read, parse, merge the layers, check, verify. Every problem is told, none hides another.
use super::{
    Kinds, Problem, Problems, Settings, SourceText, Sources,
    check::Checker,
    rest,
    schema::Generated,
    shape::Shapes,
    tree::{self, Entry, Layer, LayerId, LayerKind, Node, Origin, Place, Table, Value},
    variables, verify,
};
use std::{
    fs::File,
    io::{self, Read},
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use toml::de::DeTable;

/// No manifest is larger; `/dev/zero` is.
const LARGEST: u64 = 16 << 20;
/// Stands for the key `environment` while both a name and overlays are written under it, which TOML itself refuses.
/// As long as that key, so that every place stays where it was.
const SELECTED: &str = "\"@selected\"";
const FILE: LayerId = 0;

/// Settings that hold, and where each came from.
pub struct Loaded {
    pub settings: Arc<Settings>,
    pub file: Option<PathBuf>,
    /// SHA-256 of the settings as all layers together give them, in hex.
    pub digest: String,
    /// What is doubtful and yet no error.
    pub warnings: Problems,
    origins: Origins,
}

impl Loaded {
    /// Of a value by JSON pointer: `/agent/3/options/port`.
    pub fn origin(&self, pointer: &str) -> Origin {
        self.origins.of(pointer)
    }

    /// The overlays that the file has.
    pub fn environments(&self) -> &[String] {
        &self.origins.environments
    }
}

struct Origins {
    root: Node,
    layers: Vec<Layer>,
    environments: Vec<String>,
}

impl Origins {
    fn of(&self, pointer: &str) -> Origin {
        match self.root.find(pointer) {
            Some(node) => self.layers[node.place.layer as usize].origin(node.place),
            None => Origin::Default,
        }
    }
}

/// Reads, merges and checks. Either the settings hold, or every problem is returned.
pub fn load(sources: &Sources, kinds: &Kinds) -> Result<Loaded, Problems> {
    let mut loader = Loader { layers: Vec::new(), problems: Vec::new() };
    let loaded = loader.load(sources, kinds);
    let mut problems = Problems { file: sources.file.clone(), list: loader.problems };
    problems.sort();
    match loaded {
        Some((settings, digest, root, environments)) if problems.errors() == 0 => Ok(Loaded {
            digest,
            settings: Arc::new(settings),
            file: sources.file.clone(),
            warnings: problems,
            origins: Origins { root, layers: loader.layers, environments },
        }),
        _ => Err(problems),
    }
}

struct Loader {
    layers: Vec<Layer>,
    problems: Vec<Problem>,
}

impl Loader {
    /// What does not depend on each other is done at the same time, since a large fleet's daemon waits for this.
    fn load(&mut self, sources: &Sources, kinds: &Kinds) -> Option<(Settings, String, Node, Vec<String>)> {
        thread::scope(|scope| {
            let shapes = scope.spawn(|| Shapes::new(&Generated::new(kinds)));
            let (root, overlays) = self.written(sources)?;
            let shapes = shapes.join().unwrap_or_else(|panic| resume_unwind(panic));
            let (root, environments, sound) = self.merged(root, overlays, sources, &shapes);
            if !sound {
                self.judge_the_rest(&root, kinds);
                return None;
            }
            let mut settings = self.deserialize(&root)?;
            let digest = thread::scope(|scope| {
                let digest = scope.spawn(|| digest(&settings));
                verify::verify(&settings, &root, kinds, &self.layers, &mut self.problems);
                digest.join().unwrap_or_else(|panic| resume_unwind(panic))
            });
            settings.fit_deadlines();
            if let Some(file) = &sources.file {
                settings.place_artifacts(file);
            }
            Some((settings, digest, root, environments))
        })
    }

    /// The file as it was written, and its overlays apart.
    fn written(&mut self, sources: &Sources) -> Option<(Table, Vec<(String, Entry)>)> {
        let (text, name) = match &sources.file {
            Some(path) => (self.read(path)?, path.display().to_string()),
            None => (String::new(), "defaults".into()),
        };
        let text = Arc::new(SourceText::new(name, text));
        self.layers.push(Layer { kind: LayerKind::File, text: Arc::clone(&text) });
        let mut root = self.parse(&text)?;
        let overlays = self.take_overlays(&mut root);
        Some((root, overlays))
    }

    /// All layers in one tree, the names of the overlays, and whether the tree has the right shape.
    fn merged(
        &mut self,
        mut root: Table,
        overlays: Vec<(String, Entry)>,
        sources: &Sources,
        shapes: &Shapes,
    ) -> (Node, Vec<String>, bool) {
        let over = variables::layer(
            &sources.variables,
            &sources.flags,
            shapes,
            &mut self.layers,
            &mut self.problems,
        );
        let selected =
            sources.environment.clone().map_or_else(|| Self::selected(&over, &root), |flag| (flag, None));
        let environments: Vec<String> = overlays.iter().map(|(name, _)| name.clone()).collect();
        self.lay(&mut root, overlays, &selected, shapes);
        tree::merge(&mut root, over);
        if let Some(flag) = &sources.environment {
            self.name_environment(&mut root, flag);
        }

        let root = Node { value: Value::Table(root), place: Place::new(FILE, 0..0) };
        let before = self.problems.len();
        self.check(&root, None, shapes, false);
        let sound = self.problems.len() == before;
        (root, environments, sound)
    }

    /// A misspelt key hides no circle: what has the right shape is verified without what has not.
    fn judge_the_rest(&mut self, root: &Node, kinds: &Kinds) {
        let rest = rest::rest(root, &self.layers, &self.problems);
        // Where something needed is lost, nothing is left to verify.
        if let Ok(settings) = serde_json::from_value::<Settings>(rest.root.to_json()) {
            verify::verify_rest(&settings, &rest, kinds, &self.layers, &mut self.problems);
        }
    }

    fn check(&mut self, node: &Node, under: Option<&Node>, shapes: &Shapes, partial: bool) {
        let mut checker = Checker { shapes, layers: &self.layers, partial, problems: Vec::new() };
        checker.check(node, under, shapes.root);
        self.problems.append(&mut checker.problems);
    }

    fn read(&mut self, path: &Path) -> Option<String> {
        let mut fail = |why: &str, hint: &str| {
            let message = format!("cannot read {}: {why}", path.display().to_string().escape_debug());
            self.problems.push(Problem::new(message).hint(hint));
            None
        };
        let read = || -> io::Result<Vec<u8>> {
            // Opening a FIFO would wait for a writer.
            if !std::fs::metadata(path)?.is_file() {
                return Err(io::Error::other("it is not a file"));
            }
            let mut bytes = Vec::new();
            File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) => {
                return fail(
                    &error.to_string(),
                    "`agentctl init --template minimal` writes one to start from",
                );
            }
        };
        if bytes.len() as u64 > LARGEST {
            return fail("it is larger than 16 MiB", "this is no manifest");
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = 1 + error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
                fail(&format!("line {line} is not UTF-8"), "save it as UTF-8")
            }
        }
    }

    /// The root table; none when the syntax is so wrong that looking further would only mislead.
    fn parse(&mut self, text: &Arc<SourceText>) -> Option<Table> {
        let renamed = rename_selected(text.text());
        let (parsed, errors) = DeTable::parse_recoverable(renamed.as_deref().unwrap_or(text.text()));
        let mut hopeless = false;
        for error in &errors {
            let duplicate = error.message().starts_with("duplicate key");
            hopeless |= !duplicate;
            let span = error.span().unwrap_or(0..0);
            let problem = Problem::new(error.message()).at(text, span);
            self.problems.push(if duplicate { problem.label("it was set above") } else { problem });
        }
        if hopeless {
            return None;
        }
        let mut root = tree::from_toml(parsed.into_inner(), FILE);
        if let Some(entry) = root.remove(SELECTED.trim_matches('"')) {
            match root.get("environment").map(|overlays| (overlays.key, &overlays.node.value)) {
                None | Some((_, Value::Table(_))) => {}
                Some((again, _)) => self
                    .problems
                    .push(Problem::new("duplicate key").at(text, again.span()).label("it was set above")),
            }
            root.insert("@selected".into(), entry);
        }
        Some(root)
    }

    /// Takes `[environment.NAME]` out of the root and leaves the name that was set, if one was.
    fn take_overlays(&mut self, root: &mut Table) -> Vec<(String, Entry)> {
        let mut overlays = Vec::new();
        if let Some(Entry { node: Node { value: Value::Table(_), .. }, .. }) = root.get("environment")
            && let Some(Entry { node: Node { value: Value::Table(tables), .. }, .. }) =
                root.remove("environment")
        {
            for (name, mut entry) in tables {
                if !matches!(entry.node.value, Value::Table(_)) {
                    let problem = Problem::new(format!("expected a table for [environment.{name}]"));
                    self.problems.push(problem.at(&self.layers[0].text, entry.key.span()).hint(
                        "an environment is chosen by `environment = \"NAME\"` at the top, or by --environment NAME",
                    ));
                    continue;
                }
                let layer = LayerId::try_from(self.layers.len()).unwrap_or(FILE);
                let text = Arc::clone(&self.layers[0].text);
                self.layers.push(Layer { kind: LayerKind::Overlay(name.clone()), text });
                entry.node.relayer(layer);
                overlays.push((name, entry));
            }
        }
        if let Some(entry) = root.remove("@selected") {
            root.insert("environment".into(), entry);
        }
        overlays
    }

    /// The environment by variable, else by file; with its place.
    fn selected(over: &Table, root: &Table) -> (String, Option<Place>) {
        let written = over.get("environment").or_else(|| root.get("environment"));
        match written.and_then(|entry| Some((entry.node.text()?, entry.node.place))) {
            Some((name, place)) => (name.to_owned(), Some(place)),
            None => (Settings::default().environment, None),
        }
    }

    /// Lays the selected overlay on the root; the others are checked for what they would bring.
    fn lay(
        &mut self,
        root: &mut Table,
        overlays: Vec<(String, Entry)>,
        (selected, place): &(String, Option<Place>),
        shapes: &Shapes,
    ) {
        let known: Vec<String> = overlays.iter().map(|(name, _)| name.clone()).collect();
        if !known.is_empty()
            && !known.contains(selected)
            && !["dev", "staging", "production"].contains(&&**selected)
        {
            let message = format!("unknown environment `{}`", selected.escape_debug());
            let mut problem = Problem::new(message);
            if let Some(place) = place {
                problem = problem.at(&self.layers[place.layer as usize].text, place.span());
            }
            let usual = ["dev", "staging", "production"].into_iter();
            let all =
                known.iter().map(String::as_str).chain(usual.filter(|name| !known.iter().any(|k| k == name)));
            self.problems.push(super::check::with_nearest(
                problem,
                selected,
                all.collect::<Vec<_>>().into_iter(),
                "environments",
            ));
        }
        let mut chosen = None;
        let under = Node { value: Value::Table(std::mem::take(root)), place: Place::new(FILE, 0..0) };
        for (name, entry) in overlays {
            if let Some(nested) = entry.node.get("environment") {
                let problem = Problem::new("unknown key `environment` in an overlay");
                let at = nested.place;
                self.problems.push(problem.at(&self.layers[at.layer as usize].text, at.span()));
            } else if name == *selected {
                chosen = Some(entry);
            } else {
                self.check(&entry.node, Some(&under), shapes, true);
            }
        }
        if let Value::Table(table) = under.value {
            *root = table;
        }
        if let Some(Entry { node: Node { value: Value::Table(table), .. }, .. }) = chosen {
            tree::merge(root, table);
        }
    }

    fn name_environment(&mut self, root: &mut Table, name: &str) {
        let text = Arc::new(SourceText::new("the command line", format!("--environment {name}")));
        let layer = LayerId::try_from(self.layers.len()).unwrap_or(FILE);
        let place = Place::new(layer, 14..text.text().len());
        self.layers.push(Layer { kind: LayerKind::Flag("environment".into()), text });
        let node = Node { value: Value::Text(name.to_owned()), place };
        root.insert("environment".into(), Entry { key: place, node });
    }

    fn deserialize(&mut self, root: &Node) -> Option<Settings> {
        // To know where it fails costs as much again, so that is asked only when it does.
        if let Ok(settings) = serde_json::from_value(root.to_json()) {
            return Some(settings);
        }
        match serde_path_to_error::deserialize(root.to_json()) {
            Ok(settings) => Some(settings),
            Err(error) => {
                let pointer: String = error.path().iter().fold(String::new(), |path, step| match step {
                    serde_path_to_error::Segment::Seq { index } => format!("{path}/{index}"),
                    serde_path_to_error::Segment::Map { key } => format!("{path}/{key}"),
                    _ => path,
                });
                let place = root.at(&pointer).place;
                let problem = Problem::new(error.inner().to_string());
                self.problems.push(problem.at(&self.layers[place.layer as usize].text, place.span()));
                None
            }
        }
    }
}

/// The text with a top-level `environment = …` under another name of the same length.
fn rename_selected(text: &str) -> Option<String> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let key = &line[indent..];
        if key.starts_with('[') {
            return None;
        }
        if let Some(rest) = key.strip_prefix("environment")
            && rest.trim_start().starts_with('=')
        {
            let from = at + indent;
            let renamed = format!("{}{SELECTED}{}", &text[..from], &text[from + SELECTED.len()..]);
            // A line like that may also stand inside a text over several lines: then leave it alone.
            let (parsed, _) = DeTable::parse_recoverable(&renamed[..at + line.len()]);
            let found = parsed.get_ref().keys().any(|key| key.span() == (from..from + SELECTED.len()));
            return found.then_some(renamed);
        }
        at += line.len();
    }
    None
}

fn digest(settings: &Settings) -> String {
    // Maps are sorted and fields in order, so equal settings are equal bytes.
    let bytes = serde_json::to_vec(settings).unwrap_or_default();
    let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
