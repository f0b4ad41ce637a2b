//! The tree against the shapes: unknown keys, wrong types, missing keys, values out of range; all of them, not the
//! first.
use super::{
    BackoffRange, LatchRule,
    problem::Problem,
    shape::{Shape, ShapeId, Shapes, TableShape},
    suspect,
    tree::{Layer, Node, Place, Table, Value},
};
use crate::domain::{ByteSize, Period, nearest};
use std::fmt::Write;

pub(super) struct Checker<'a> {
    pub shapes: &'a Shapes,
    pub layers: &'a [Layer],
    /// Keys may be missing: it is an overlay that is not laid on anything.
    pub partial: bool,
    pub problems: Vec<Problem>,
}

impl Checker<'_> {
    /// `under` is what an overlay would be laid on: it may know the `kind` that the overlay leaves out.
    pub fn check(&mut self, node: &Node, under: Option<&Node>, shape: ShapeId) {
        self.value("", node, under, shape);
    }

    fn problem(&self, message: impl AsRef<str>, place: Place) -> Problem {
        Problem::new(message).at(&self.layers[place.layer as usize].text, place.span())
    }

    fn value(&mut self, key: &str, node: &Node, under: Option<&Node>, id: ShapeId) {
        let shapes = self.shapes;
        match (shapes.get(id), &node.value) {
            (Shape::Any, _) => {
                if let Value::TooLarge = node.value {
                    self.wrong_type(key, node, "a number that fits in 64 bits");
                }
            }
            (Shape::Bool, Value::Bool(_)) => {}
            (Shape::Integer { min, max }, Value::Integer(number)) => {
                self.in_range(key, node, i128::from(*number), *min, *max);
            }
            (Shape::Number { .. }, Value::Float(number)) if !number.is_finite() => {
                self.problems.push(self.problem(format!("`{key}` must be finite"), node.place));
            }
            (Shape::Number { min, max }, Value::Float(number)) => {
                self.in_range(key, node, *number, *min, *max);
            }
            (Shape::Number { min, max }, Value::Integer(number)) => {
                self.in_range(key, node, *number as f64, *min, *max);
            }
            (Shape::Text { format, pattern, at_least }, Value::Text(text)) => {
                self.text(key, node, text, format.as_deref());
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    let message = format!("`{}` is not a legal `{key}`", shown(key, text));
                    let problem = self.problem(message, node.place);
                    self.problems.push(problem.hint(format!("it must match {}", pattern.as_str())));
                }
                if text.len() < *at_least {
                    self.problems.push(self.problem(format!("`{key}` must not be empty"), node.place));
                }
            }
            (Shape::Choice(words), Value::Text(text)) => self.choice(key, node, text, words),
            (Shape::List { items, at_least }, Value::List(list)) => {
                if list.len() < *at_least {
                    let message = format!("`{key}` must have at least {at_least} in it");
                    self.problems.push(self.problem(message, node.place));
                }
                self.list(key, list, under, *items);
            }
            (Shape::Table(shape), Value::Table(table)) => self.table(key, node, table, under, shape),
            (Shape::Either(ids), _) => self.either(key, node, under, ids),
            (shape, _) => self.wrong_type(key, node, &self.wanted(shape)),
        }
    }

    fn in_range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        key: &str,
        node: &Node,
        number: T,
        min: Option<T>,
        max: Option<T>,
    ) {
        let bound = match (&min, &max) {
            (Some(min), _) if number < *min => format!("it must be at least {min}"),
            (_, Some(max)) if number > *max => format!("it must be at most {max}"),
            _ => return,
        };
        let problem = self.problem(format!("{number} is out of range for `{key}`"), node.place);
        self.problems.push(problem.label(bound));
    }

    fn text(&mut self, key: &str, node: &Node, text: &str, format: Option<&str>) {
        let (what, like) = match format {
            Some("agentd-duration") if text.parse::<Period>().is_err() => {
                ("duration", "500ms, 30s or 1h 30m")
            }
            Some("agentd-size") if text.parse::<ByteSize>().is_err() => ("size", "64KiB, 400MiB or 2GB"),
            Some("agentd-backoff") if text.parse::<BackoffRange>().is_err() => ("backoff", "500ms..30s"),
            Some("agentd-latch") if text.parse::<LatchRule>().is_err() => ("latch", "5 in 2m"),
            Some("regex") if regex::Regex::new(text).is_err() => {
                ("regular expression", "^ready in [0-9]+ ms$")
            }
            _ => return,
        };
        let problem = self.problem(format!("`{}` is not a {what}", shown(key, text)), node.place);
        self.problems.push(problem.hint(format!("write it like {like}")));
    }

    fn choice(&mut self, key: &str, node: &Node, text: &str, words: &[String]) {
        if words.iter().any(|word| word == text) {
            return;
        }
        let problem = self.problem(format!("`{}` is no value of `{key}`", shown(key, text)), node.place);
        self.problems.push(with_nearest(problem, text, words.iter().map(String::as_str), "values"));
    }

    fn list(&mut self, key: &str, list: &[Node], under: Option<&Node>, items: ShapeId) {
        let mut named = std::collections::HashMap::new();
        if self.partial {
            named.extend(
                under.into_iter().flat_map(Node::items).filter_map(|item| Some((item.name()?, item))),
            );
        }
        for item in list {
            let under = item.name().and_then(|name| named.get(name)).copied();
            self.value(key, item, under, items);
        }
    }

    fn table(&mut self, key: &str, node: &Node, table: &Table, under: Option<&Node>, shape: &TableShape) {
        let below = |name: &str| under.and_then(|under| under.get(name));
        let kind = shape.kinds.as_ref().and_then(|kinds| {
            let name = node.get("kind").or_else(|| below("kind"))?.text()?;
            kinds.iter().find(|(kind, _)| kind.name == name)
        });
        for (name, entry) in table {
            match (shape.keys.get(name), shape.rest) {
                (Some(_), _) if name == "options" && shape.kinds.is_some() => {
                    if let Some((_, options)) = kind {
                        self.value(name, &entry.node, below(name), *options);
                    } else if !matches!(entry.node.value, Value::Table(_)) {
                        self.wrong_type(name, &entry.node, "a table");
                    }
                }
                (Some(_), _) if name == "kind" && shape.kinds.is_some() => self.kind(&entry.node, shape),
                (Some(known), _) => self.value(name, &entry.node, below(name), known.shape),
                (None, Some(rest)) => self.value(name, &entry.node, below(name), rest),
                (None, None) => {
                    let belongs = kind.and_then(|(_, options)| self.shapes.table(*options));
                    let belongs = belongs.is_some_and(|options| options.keys.contains_key(name));
                    self.unknown_key(key, name, entry.key, shape, belongs);
                }
            }
        }
        if !self.partial {
            self.missing(key, node, table, shape, kind.map(|(kind, options)| (kind.name, *options)));
        }
    }

    fn missing(
        &mut self,
        key: &str,
        node: &Node,
        table: &Table,
        shape: &TableShape,
        kind: Option<(&str, ShapeId)>,
    ) {
        // Made only for a problem: most tables miss nothing.
        let of = || {
            node.name().map_or_else(
                || if key.is_empty() { String::new() } else { format!(" in `{key}`") },
                |name| format!(" of {key} `{}`", shown(key, name)),
            )
        };
        for (name, wanted) in
            shape.keys.iter().filter(|(name, key)| key.required && !table.contains_key(*name))
        {
            let problem = self.problem(format!("missing key `{name}`{}", of()), node.place);
            let kinds = shape.kinds.as_ref().filter(|_| name == "kind");
            let hint = match kinds {
                Some(kinds) => format!("add kind = \"…\": {}", list(kinds.iter().map(|(kind, _)| kind.name))),
                None => format!("add `{name}`: {}", self.described(wanted.about.as_deref(), wanted.shape)),
            };
            self.problems.push(problem.hint(hint));
        }
        // Options that a kind needs, when there is no `options` at all.
        if let Some((kind, options)) = kind
            && !table.contains_key("options")
            && let Some(options) = self.shapes.table(options)
        {
            let needed: Vec<&str> =
                options.keys.iter().filter(|(_, key)| key.required).map(|(name, _)| name.as_str()).collect();
            if !needed.is_empty() {
                let message = format!("missing key `options`{}: kind {kind} needs {}", of(), list(needed));
                self.problems.push(self.problem(message, node.place));
            }
        }
    }

    fn kind(&mut self, node: &Node, shape: &TableShape) {
        let Some(name) = node.text() else { return self.wrong_type("kind", node, "a string") };
        let kinds = shape.kinds.iter().flatten().map(|(kind, _)| kind.name);
        if !kinds.clone().any(|kind| kind == name) {
            let problem = self.problem(format!("unknown kind `{}`", shown("kind", name)), node.place);
            self.problems.push(with_nearest(problem, name, kinds, "kinds"));
        }
    }

    fn unknown_key(&mut self, key: &str, name: &str, place: Place, shape: &TableShape, in_options: bool) {
        let inside = if key.is_empty() { String::new() } else { format!(" in `{key}`") };
        let problem = self.problem(format!("unknown key `{}`{inside}", shown("", name)), place);
        self.problems.push(if in_options {
            problem.hint(format!("it belongs in `options`: options = {{ {name} = … }}"))
        } else {
            with_nearest(problem, name, shape.keys.keys().map(String::as_str), "keys")
        });
    }

    fn either(&mut self, key: &str, node: &Node, under: Option<&Node>, ids: &[ShapeId]) {
        let mut best: Option<Vec<Problem>> = None;
        for id in ids {
            let mut trial = Checker {
                shapes: self.shapes,
                layers: self.layers,
                partial: self.partial,
                problems: Vec::new(),
            };
            trial.value(key, node, under, *id);
            if trial.problems.is_empty() {
                return;
            }
            // Of the ones it could have been, the nearest: not the one of another type.
            let fits = same_type(self.shapes.get(*id), node);
            if fits && best.as_ref().is_none_or(|best| trial.problems.len() < best.len()) {
                best = Some(trial.problems);
            }
        }
        if let Some(problems) = best {
            self.problems.extend(problems);
        } else {
            let wanted: Vec<String> = ids.iter().map(|id| self.wanted(self.shapes.get(*id))).collect();
            self.wrong_type(key, node, &wanted.join(" or "));
        }
    }

    fn wrong_type(&mut self, key: &str, node: &Node, wanted: &str) {
        let key = if key.is_empty() { String::new() } else { format!(" for `{key}`") };
        let problem = self.problem(format!("expected {wanted}{key}, found {}", node.type_name()), node.place);
        self.problems.push(problem);
    }

    fn described(&self, about: Option<&str>, shape: ShapeId) -> String {
        about.map_or_else(|| self.wanted(self.shapes.get(shape)), str::to_owned)
    }

    fn wanted(&self, shape: &Shape) -> String {
        match shape {
            Shape::Any => "a value".into(),
            Shape::Bool => "true or false".into(),
            Shape::Integer { .. } => "an integer".into(),
            Shape::Number { .. } => "a number".into(),
            Shape::Text { format, .. } => match format.as_deref() {
                Some("agentd-duration") => "a duration such as \"30s\"".into(),
                Some("agentd-size") => "a size such as \"400MiB\"".into(),
                Some("agentd-backoff") => "a backoff such as \"500ms..30s\"".into(),
                Some("agentd-latch") => "a latch such as \"5 in 2m\"".into(),
                _ => "a string".into(),
            },
            Shape::Choice(words) => list(words.iter().map(String::as_str)),
            Shape::List { .. } => "an array".into(),
            Shape::Table(_) => "a table".into(),
            Shape::Either(ids) => {
                ids.iter().map(|id| self.wanted(self.shapes.get(*id))).collect::<Vec<_>>().join(" or ")
            }
        }
    }
}

fn same_type(shape: &Shape, node: &Node) -> bool {
    match &node.value {
        Value::Bool(_) => matches!(shape, Shape::Bool | Shape::Any),
        Value::Integer(_) => matches!(shape, Shape::Integer { .. } | Shape::Number { .. } | Shape::Any),
        Value::Float(_) => matches!(shape, Shape::Number { .. } | Shape::Any),
        Value::Text(_) => matches!(shape, Shape::Text { .. } | Shape::Choice(_) | Shape::Any),
        Value::List(_) => matches!(shape, Shape::List { .. } | Shape::Any),
        Value::Table(_) => matches!(shape, Shape::Table(_) | Shape::Any),
        Value::Time(_) | Value::TooLarge => false,
    }
}

/// A value as a message may repeat it.
pub(super) fn shown(key: &str, text: &str) -> String {
    if suspect::name_is_secret(key) && suspect::could_be_secret(text) {
        return suspect::MASK.into();
    }
    let mut short: String = text.escape_debug().take(60).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// Says the nearest known word; failing that, all of them.
pub(super) fn with_nearest<'a>(
    problem: Problem,
    wrong: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    what: &str,
) -> Problem {
    match nearest(wrong, known.clone()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None if known.clone().next().is_none() => problem,
        None => problem.hint(format!("known {what}: {}", list(known))),
    }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let mut text = String::new();
    let words: Vec<&str> = words.into_iter().collect();
    for (at, word) in words.iter().take(MOST).enumerate() {
        let _ = write!(text, "{}{word}", if at == 0 { "" } else { ", " });
    }
    if words.len() > MOST {
        let _ = write!(text, " and {} more", words.len() - MOST);
    }
    text
}
