//! What is left of a tree once everything wrong in it is taken out, so that the rest is judged in the same round.
use super::{
    problem::Problem,
    tree::{Entry, Layer, Node, Place, Value},
};
use std::{collections::HashSet, sync::Arc};

pub(super) struct Rest {
    pub root: Node,
    /// What lost something: a member of one of the file's lists (`/agent/3`), or a table (`/contacts`). What is missing
    /// there proves nothing.
    pub maimed: HashSet<String>,
    /// No member was lost whole: a name that is not here was never here.
    pub all_named: bool,
}

pub(super) fn rest(root: &Node, layers: &[Layer], wrong: &[Problem]) -> Rest {
    let at = |problem: &Problem| {
        let source = problem.source.as_ref()?;
        Some((Arc::as_ptr(source) as usize, problem.span.start, problem.span.end))
    };
    let mut cut =
        Cut { layers, wrong: wrong.iter().filter_map(at).collect(), maimed: HashSet::new(), all_named: true };
    let root = Node { value: cut.value(&root.value, "", ""), place: root.place };
    Rest { root, maimed: cut.maimed, all_named: cut.all_named }
}

struct Cut<'a> {
    layers: &'a [Layer],
    /// Of each problem: its text by address, and the stretch of it.
    wrong: HashSet<(usize, usize, usize)>,
    maimed: HashSet<String>,
    all_named: bool,
}

impl Cut<'_> {
    fn is_wrong(&self, place: Place) -> bool {
        let text = Arc::as_ptr(&self.layers[place.layer as usize].text) as usize;
        let span = place.span();
        self.wrong.contains(&(text, span.start, span.end))
    }

    fn lose(&mut self, pointer: &str, member: &str) {
        let table = pointer.match_indices('/').nth(1).map_or(pointer, |(end, _)| &pointer[..end]);
        self.maimed.insert(if member.is_empty() { table } else { member }.to_owned());
    }

    /// `member` is the pointer of the list's member that this is in, if it is in one.
    fn value(&mut self, value: &Value, pointer: &str, member: &str) -> Value {
        match value {
            Value::Table(table) => {
                let mut kept = super::tree::Table::new();
                for (name, Entry { key, node }) in table {
                    let pointer = format!("{pointer}/{name}");
                    if self.is_wrong(*key) || self.is_wrong(node.place) {
                        self.lose(&pointer, member);
                        continue;
                    }
                    let node = Node { value: self.value(&node.value, &pointer, member), place: node.place };
                    kept.insert(name.clone(), Entry { key: *key, node });
                }
                Value::Table(kept)
            }
            Value::List(items) => {
                let mut kept = Vec::new();
                for item in items {
                    if self.is_wrong(item.place) {
                        self.lose(pointer, member);
                        self.all_named &= !member.is_empty();
                        continue;
                    }
                    let pointer = format!("{pointer}/{}", kept.len());
                    let member = if member.is_empty() { pointer.as_str() } else { member };
                    kept.push(Node { value: self.value(&item.value, &pointer, member), place: item.place });
                }
                Value::List(kept)
            }
            plain => plain.clone(),
        }
    }
}
