//! The compiled index of a virtual host's paths.
//!
//! In: the path conditions of its routes, in order. Out: for a path, the positions of the routes whose path
//! condition holds, lowest first, at a cost that doesn't grow with the number of routes: exact paths by hash,
//! prefixes by a radix tree, regular expressions as one set.

use std::collections::HashMap;

use regex::RegexSet;
use smallvec::SmallVec;

use super::matcher::{BadRegex, full_match_expression, full_match_regex};

/// A route's condition on the path, without the query.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// Any path, and requests without one (`CONNECT`).
    Any,
    /// The whole path.
    Exact(Box<str>),
    /// How it begins.
    Prefix(Box<str>),
    /// `/a` takes `/a` and `/a/b` but not `/ab`. Without the slash at its end.
    PathSeparatedPrefix(Box<str>),
    /// A regular expression that the whole path must match.
    Regex(Box<str>),
    /// `CONNECT` requests only.
    Connect,
}

/// A path condition and whether case counts.
#[derive(Debug, Clone)]
pub struct PathCondition {
    /// The condition.
    pub path: PathMatch,
    /// Case doesn't count. Has no effect on regular expressions.
    pub ignore_case: bool,
}

impl PathCondition {
    /// Any path.
    pub const ANY: Self = Self { path: PathMatch::Any, ignore_case: false };

    /// The plain meaning of the condition; the index must agree with it.
    pub fn matches(&self, path: &str) -> bool {
        let starts = |want: &str| {
            path.get(..want.len()).is_some_and(|head| {
                if self.ignore_case { head.eq_ignore_ascii_case(want) } else { head == want }
            })
        };
        match &self.path {
            PathMatch::Any => true,
            PathMatch::Exact(want) => path.len() == want.len() && starts(want),
            PathMatch::Prefix(want) => starts(want),
            PathMatch::PathSeparatedPrefix(want) => {
                starts(want) && matches!(path.as_bytes().get(want.len()), None | Some(b'/'))
            }
            PathMatch::Regex(pattern) => full_match_regex(pattern).is_ok_and(|regex| regex.is_match(path)),
            PathMatch::Connect => false,
        }
    }
}

type Positions = SmallVec<[u32; 2]>;

type Exact = HashMap<Box<str>, Positions, foldhash::fast::RandomState>;

/// The index.
#[derive(Debug, Default)]
pub struct PathIndex {
    any: Positions,
    exact: Exact,
    prefix: Tree,
    rare: Option<Box<Rare>>,
}

/// Conditions that few virtual hosts have.
#[derive(Debug, Default)]
struct Rare {
    connect: Positions,
    folded: Option<Folded>,
    regexes: Option<Regexes>,
}

/// Conditions for which case doesn't count, in lower case.
#[derive(Debug, Default)]
struct Folded {
    exact: Exact,
    prefix: Tree,
}

#[derive(Debug)]
struct Regexes {
    set: RegexSet,
    positions: Vec<u32>,
}

impl PathIndex {
    /// Compiles the conditions of routes in order.
    pub fn new<'a>(conditions: impl IntoIterator<Item = &'a PathCondition>) -> Result<Self, BadRegex> {
        let mut index = Self::default();
        let mut patterns = Vec::new();
        let mut pattern_positions = Vec::new();
        for (position, condition) in (0_u32..).zip(conditions) {
            let fold = condition.ignore_case;
            match &condition.path {
                PathMatch::Any => index.any.push(position),
                PathMatch::Connect => index.rare().connect.push(position),
                PathMatch::Exact(path) if fold => {
                    let exact = &mut index.folded().exact;
                    exact.entry(path.to_ascii_lowercase().into()).or_default().push(position);
                }
                PathMatch::Exact(path) => index.exact.entry(path.clone()).or_default().push(position),
                PathMatch::Prefix(path) | PathMatch::PathSeparatedPrefix(path) => {
                    let entry = Entry {
                        position,
                        at_boundary: matches!(condition.path, PathMatch::PathSeparatedPrefix(_)),
                    };
                    if fold {
                        index.folded().prefix.insert(path.to_ascii_lowercase().as_bytes(), entry);
                    } else {
                        index.prefix.insert(path.as_bytes(), entry);
                    }
                }
                PathMatch::Regex(pattern) => {
                    // Compiled alone first, so that the error names it.
                    full_match_regex(pattern)?;
                    patterns.push(full_match_expression(pattern));
                    pattern_positions.push(position);
                }
            }
        }
        if !patterns.is_empty() {
            let set = regex::RegexSetBuilder::new(&patterns)
                .size_limit(64 << 20)
                .dfa_size_limit(4 << 20)
                .build()
                .map_err(|source| BadRegex { pattern: patterns.join(" | "), source: Box::new(source) })?;
            index.rare().regexes = Some(Regexes { set, positions: pattern_positions });
        }
        index.prefix.trim();
        if let Some(folded) = index.rare.as_mut().and_then(|rare| rare.folded.as_mut()) {
            folded.prefix.trim();
        }
        Ok(index)
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn folded(&mut self) -> &mut Folded {
        self.rare().folded.get_or_insert_default()
    }

    /// The lowest position whose path condition holds and that `accept` takes.
    pub fn first(&self, path: &str, mut accept: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut found = Candidates::default();
        found.add(&self.any);
        if let Some(positions) = self.exact.get(path) {
            found.add(positions);
        }
        self.prefix.walk(path.as_bytes(), |entry| found.push(entry.position));
        let rare = self.rare.as_deref();
        if let Some(folded) = rare.and_then(|rare| rare.folded.as_ref()) {
            let path = path.to_ascii_lowercase();
            if let Some(positions) = folded.exact.get(&*path) {
                found.add(positions);
            }
            folded.prefix.walk(path.as_bytes(), |entry| found.push(entry.position));
        }
        let positions = found.sorted();
        let Some(regexes) = rare.and_then(|rare| rare.regexes.as_ref()) else {
            return positions.iter().map(|&position| position as usize).find(|&position| accept(position));
        };
        // The set is asked only if a regular expression could come before the answer found without it.
        let without = positions.iter().copied().find(|&position| accept(position as usize));
        if without.is_some_and(|position| position < regexes.positions[0]) {
            return without.map(|position| position as usize);
        }
        let with = regexes
            .set
            .matches(path)
            .into_iter()
            .map(|matched| regexes.positions[matched])
            .take_while(|&position| without.is_none_or(|best| position < best))
            .find(|&position| accept(position as usize));
        with.or(without).map(|position| position as usize)
    }

    /// The lowest position of a condition for `CONNECT` that `accept` takes.
    pub fn first_connect(&self, mut accept: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut found = Candidates::default();
        found.add(&self.rare.as_deref()?.connect);
        found.sorted().iter().map(|&position| position as usize).find(|&position| accept(position))
    }
}

/// Positions collected for one path. The lists are short but for routes that share one path.
#[derive(Default)]
struct Candidates {
    positions: SmallVec<[u32; 16]>,
    unsorted: bool,
}

impl Candidates {
    fn push(&mut self, position: u32) {
        self.unsorted |= self.positions.last().is_some_and(|&last| last > position);
        self.positions.push(position);
    }

    fn add(&mut self, positions: &[u32]) {
        if let Some(&first) = positions.first() {
            self.push(first);
            self.positions.extend_from_slice(&positions[1..]);
        }
    }

    fn sorted(&mut self) -> &[u32] {
        if self.unsorted {
            self.positions.sort_unstable();
        }
        &self.positions
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    position: u32,
    /// The prefix must end at a slash or at the end of the path.
    at_boundary: bool,
}

/// A radix tree over bytes.
#[derive(Debug, Default)]
struct Tree {
    label: Box<[u8]>,
    entries: SmallVec<[Entry; 1]>,
    /// Sorted by the first byte of their labels, which differ.
    children: Vec<Tree>,
}

impl Tree {
    fn insert(&mut self, key: &[u8], entry: Entry) {
        let Some(&first) = key.first() else {
            self.entries.push(entry);
            return;
        };
        match self.children.binary_search_by_key(&first, |child| child.label[0]) {
            Err(at) => self.children.insert(
                at,
                Self { label: key.into(), entries: SmallVec::from_elem(entry, 1), children: Vec::new() },
            ),
            Ok(at) => {
                let child = &mut self.children[at];
                let common = child.label.iter().zip(key).take_while(|(a, b)| a == b).count();
                if common < child.label.len() {
                    child.split(common);
                }
                child.insert(&key[common..], entry);
            }
        }
    }

    /// Gives back what was reserved for more: a mesh has many small trees.
    fn trim(&mut self) {
        self.children.shrink_to_fit();
        self.children.iter_mut().for_each(Self::trim);
    }

    /// Makes this node end after `at` bytes, with the rest below it.
    fn split(&mut self, at: usize) {
        let rest = Self {
            label: self.label[at..].into(),
            entries: std::mem::take(&mut self.entries),
            children: std::mem::take(&mut self.children),
        };
        self.label = self.label[..at].into();
        self.children.push(rest);
    }

    /// Visits the entries of every key that `path` begins with.
    fn walk(&self, path: &[u8], mut visit: impl FnMut(Entry)) {
        let mut node = self;
        let mut rest = path;
        loop {
            for entry in &node.entries {
                if !entry.at_boundary || matches!(rest.first(), None | Some(b'/')) {
                    visit(*entry);
                }
            }
            let Some(&first) = rest.first() else { return };
            let Ok(at) = node.children.binary_search_by_key(&first, |child| child.label[0]) else { return };
            node = &node.children[at];
            match rest.strip_prefix(&*node.label) {
                Some(after) => rest = after,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn condition() -> impl Strategy<Value = PathCondition> {
        let text = "(/[abA]{0,2}){0,3}";
        let path = prop_oneof![
            Just(PathMatch::Any),
            text.prop_map(|path: String| PathMatch::Exact(path.into())),
            text.prop_map(|path: String| PathMatch::Prefix(path.into())),
            text.prop_map(|path: String| PathMatch::PathSeparatedPrefix(path.into())),
            "/[ab]{1,2}(\\.\\*|\\.\\+)?".prop_map(|path: String| PathMatch::Regex(path.into())),
        ];
        (path, any::<bool>()).prop_map(|(path, ignore_case)| PathCondition { path, ignore_case })
    }

    proptest! {
        #[test]
        fn index_agrees_with_the_conditions_tried_in_order(
            conditions in prop::collection::vec(condition(), 0..24),
            path in "(/[abA]{0,2}){0,4}",
            refused in prop::collection::vec(0_usize..24, 0..4),
        ) {
            let index = PathIndex::new(&conditions).unwrap();
            let naive = conditions
                .iter()
                .enumerate()
                .position(|(at, condition)| !refused.contains(&at) && condition.matches(&path));
            prop_assert_eq!(index.first(&path, |at| !refused.contains(&at)), naive);
        }
    }

    #[test]
    fn a_thousand_prefixes_are_not_tried_one_by_one() {
        let conditions: Vec<_> = (0..1000)
            .map(|n| PathCondition { path: PathMatch::Prefix(format!("/r{n}/").into()), ignore_case: false })
            .collect();
        let index = PathIndex::new(&conditions).unwrap();
        let mut tried = 0;
        let found = index.first("/r999/x", |_| {
            tried += 1;
            true
        });
        assert_eq!((found, tried), (Some(999), 1));
    }

    #[test]
    fn a_bad_regex_is_named() {
        let conditions = [PathCondition { path: PathMatch::Regex("/a(".into()), ignore_case: false }];
        assert!(PathIndex::new(&conditions).unwrap_err().to_string().contains("/a("));
    }
}
