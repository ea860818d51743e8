//! Which objects lie in which files, and what a changed file means for them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use model::yaml::{object, split, values};
use model::{Event, Key, Object};
use serde_json::Value;

use super::super::Problems;

/// One document of a file: its object, if the mesh is made from such, and a hash by which an unchanged one is recognised.
#[derive(Debug)]
struct Document {
    hash: u64,
    keys: Vec<Key>,
    /// It has a broken object, so it is read again each time to keep its problem reported.
    broken: bool,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Documents {
    files: BTreeMap<PathBuf, Vec<Document>>,
    /// Files that contain an object. The first in order of names counts, so that the outcome never depends on history.
    owners: BTreeMap<Key, BTreeSet<PathBuf>>,
}

/// What reading a file's new text yields.
#[derive(Default)]
struct Reading {
    documents: Vec<Document>,
    /// Objects of documents that are new or changed.
    objects: BTreeMap<Key, Object>,
    problems: Vec<String>,
}

impl Documents {
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// A file has this text now, or is gone. Returns what that changes.
    pub(super) fn update(&mut self, path: &Path, text: Option<&str>, problems: &Problems) -> Vec<Event> {
        let place = path.to_string_lossy().into_owned();
        let reading = match text {
            Some(text) => match self.read(path, text, &place, problems) {
                Ok(reading) => reading,
                Err(problem) => {
                    problems.report(&place, problem);
                    return Vec::new();
                }
            },
            None => Reading::default(),
        };
        problems.clear(&place);
        problems.keep(&format!("{place}: "), &reading.problems);
        let before = keys(self.files.get(path).map(Vec::as_slice).unwrap_or_default());
        let after = keys(&reading.documents);
        match text {
            Some(_) => drop(self.files.insert(path.to_owned(), reading.documents)),
            None => drop(self.files.remove(path)),
        }
        let mut objects = reading.objects;
        let mut events = Vec::new();
        for key in before.union(&after) {
            self.settle(key, path, after.contains(key), objects.remove(key), &mut events);
        }
        events
    }

    /// Reads the changed documents. Broken YAML fails as a whole; a broken object only itself, and keeps what it was.
    fn read(&self, path: &Path, text: &str, place: &str, problems: &Problems) -> Result<Reading, String> {
        let known: BTreeMap<u64, &Document> =
            self.files.get(path).into_iter().flatten().map(|document| (document.hash, document)).collect();
        let mut reading = Reading::default();
        for document in split(text) {
            let hash = hash(document.trim_end().trim_start_matches(['\r', '\n']));
            if let Some(same) = known.get(&hash).filter(|same| !same.broken) {
                reading.documents.push(Document { hash, keys: same.keys.clone(), broken: false });
                continue;
            }
            let (mut keys, mut broken) = (Vec::new(), false);
            for value in values(document)? {
                match judged(value, place) {
                    Ok(Some(object)) => {
                        keys.push(object.key());
                        reading.objects.insert(object.key(), object);
                    }
                    Ok(None) => {}
                    Err((key, problem)) => {
                        let place = format!(
                            "{place}: {}",
                            key.as_ref().map_or_else(|| "object".into(), ToString::to_string)
                        );
                        problems.report(&place, problem);
                        reading.problems.push(place);
                        broken = true;
                        let held = key.filter(|key| self.owners.contains_key(key));
                        keys.extend(held);
                    }
                }
            }
            reading.documents.push(Document { hash, keys, broken });
        }
        Ok(reading)
    }

    /// Records whether the file has the object, and says what that changes.
    fn settle(&mut self, key: &Key, path: &Path, has: bool, object: Option<Object>, events: &mut Vec<Event>) {
        let owners = self.owners.entry(key.clone()).or_default();
        let first_before = owners.first().cloned();
        if has {
            owners.insert(path.to_owned());
        } else {
            owners.remove(path);
        }
        let first = owners.first().cloned();
        match first {
            None => {
                self.owners.remove(key);
                events.push(Event::Deleted(key.clone()));
            }
            Some(first) if first == path => events.extend(object.map(Event::from)),
            Some(first) if Some(&first) != first_before.as_ref() => {
                events.extend(reread(&first, key).map(Event::from));
            }
            Some(first) => {
                if object.is_some() {
                    tracing::warn!(%key, file = %path.display(), used = %first.display(), "the same object is in two files");
                }
            }
        }
    }
}

fn keys(documents: &[Document]) -> BTreeSet<Key> {
    documents.iter().flat_map(|document| document.keys.iter().cloned()).collect()
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The object of a document, judged as the API server's would be at admission: an invalid one is refused.
fn judged(value: Value, place: &str) -> Result<Option<Object>, (Option<Key>, String)> {
    let verdict = webhook::validate::validate(&value, None);
    let refusal = (!verdict.is_accepted()).then(|| verdict.refusal(&value));
    let Some(object) = object(value)? else { return Ok(None) };
    let key = object.key();
    if let Some(refusal) = refusal {
        return Err((Some(key), refusal));
    }
    for warning in verdict.warnings {
        tracing::warn!(place, %key, warning, "accepted");
    }
    Ok(Some(object))
}

/// An object of a file that becomes its owner.
fn reread(path: &Path, key: &Key) -> Option<Object> {
    let text = std::fs::read_to_string(path).ok()?;
    let all = split(&text).filter_map(|document| values(document).ok()).flatten();
    all.filter_map(|value| object(value).ok().flatten()).find(|object| object.key() == *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> String {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
    }

    fn virtual_service(hosts: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec: {{hosts: {hosts}, \
             http: [{{route: [{{destination: {{host: a}}}}]}}]}}\n"
        )
    }

    /// `+key` for applied, `-key` for deleted.
    fn told(events: &[Event]) -> Vec<String> {
        let tell = |event: &Event| match event {
            Event::Applied(object) => format!("+{}", object.key()),
            Event::Deleted(key) => format!("-{key}"),
        };
        events.iter().map(tell).collect()
    }

    #[test]
    fn a_file_is_compared_document_by_document() {
        let (mut documents, problems) = (Documents::default(), Problems::default());
        let path = Path::new("a.yaml");
        let two = format!("{}---\n{}", namespace("one"), namespace("two"));
        assert_eq!(told(&documents.update(path, Some(&two), &problems)).len(), 2);
        assert_eq!(told(&documents.update(path, Some(&two), &problems)), [""; 0]);
        let changed = format!("{}---\n{}", namespace("one"), namespace("three"));
        let events = told(&documents.update(path, Some(&changed), &problems));
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events.iter().any(|one| one.starts_with('+') && one.contains("three")), "{events:?}");
        assert!(events.iter().any(|one| one.starts_with('-') && one.contains("two")), "{events:?}");
        assert_eq!(documents.update(path, None, &problems).len(), 2);
    }

    #[test]
    fn a_broken_file_changes_nothing_until_it_is_mended() {
        let (mut documents, problems) = (Documents::default(), Problems::default());
        let path = Path::new("a.yaml");
        documents.update(path, Some(&namespace("one")), &problems);
        assert!(documents.update(path, Some("a: [1"), &problems).is_empty());
        assert!(problems.all()["a.yaml"].contains("not valid YAML"));
        assert!(documents.update(path, Some(&namespace("one")), &problems).is_empty());
        assert!(problems.all().is_empty());
    }

    #[test]
    fn a_broken_object_keeps_its_last_good_state_and_harms_no_other() {
        let (mut documents, problems) = (Documents::default(), Problems::default());
        let path = Path::new("a.yaml");
        documents.update(path, Some(&virtual_service("[a]")), &problems);
        let broken = format!("{}---\n{}", virtual_service("7"), namespace("one"));
        let events = told(&documents.update(path, Some(&broken), &problems));
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].contains("one"), "{events:?}");
        assert_eq!(problems.all().len(), 1);
        let mended = format!("{}---\n{}", virtual_service("[b]"), namespace("one"));
        assert_eq!(documents.update(path, Some(&mended), &problems).len(), 1);
        assert!(problems.all().is_empty());
        assert_eq!(told(&documents.update(path, Some(&namespace("one")), &problems)).len(), 1);
    }

    #[test]
    fn an_object_that_admission_would_refuse_is_refused() {
        let (mut documents, problems) = (Documents::default(), Problems::default());
        let path = Path::new("a.yaml");
        documents.update(path, Some(&virtual_service("[a]")), &problems);
        let weights = virtual_service("[a]").replace("{host: a}}", "{host: a}, weight: -1}");
        assert!(documents.update(path, Some(&weights), &problems).is_empty(), "the last good one stays");
        let all = problems.all();
        let said = &all["a.yaml: VirtualService default/v"];
        assert!(said.contains("spec.http[0].route[0].weight: -1 is negative"), "{said}");
    }

    #[test]
    fn an_object_that_moves_between_files_never_disappears() {
        let folder = std::env::temp_dir().join(format!("documents-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let (a, b) = (folder.join("a.yaml"), folder.join("b.yaml"));
        let (mut documents, problems) = (Documents::default(), Problems::default());
        std::fs::write(&b, virtual_service("[b]")).unwrap();
        documents.update(&a, Some(&virtual_service("[a]")), &problems);
        assert!(
            documents.update(&b, Some(&virtual_service("[b]")), &problems).is_empty(),
            "the first file counts"
        );
        let events = told(&documents.update(&a, None, &problems));
        assert_eq!(events.len(), 1);
        assert!(events[0].starts_with('+'), "{events:?}");
        assert!(told(&documents.update(&b, None, &problems))[0].starts_with('-'));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn lists_json_and_foreign_kinds_are_read() {
        let (mut documents, problems) = (Documents::default(), Problems::default());
        let list = r#"{"kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "y"}}]}"#;
        assert_eq!(documents.update(Path::new("a.json"), Some(list), &problems).len(), 1);
        assert!(problems.all().is_empty());
    }
}
