//! Says what is wrong with an observation, and where two data planes differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{
    observed::{Answer, Answers, Logged},
    row::{Expect, Request, Seen, Shares},
};

/// Everything observed of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Observation {
    pub(super) answers: Answers,
    pub(super) logged: Vec<Logged>,
}

/// What is not as the row expects.
pub(super) fn problems(request: &Request, found: &Observation) -> Vec<String> {
    let expect = &request.expect;
    let mut problems = Problems::default();
    let answers = &found.answers;
    if expect.failure {
        if answers.error.is_none() {
            problems.add("there should be no answer", &status_of(answers));
        }
        return problems.0;
    }
    if let Some(error) = &answers.error {
        problems.add("no answer", error);
        return problems.0;
    }
    if let Some(wanted) = &expect.status {
        problems.shares("status", wanted, answers.all.iter().map(|answer| answer.status), expect.within);
    }
    if let Some(wanted) = &expect.by {
        let versions = answers.all.iter().map(|answer| answer.version().to_owned());
        problems.shares("answered by", wanted, versions, expect.within);
    }
    if expect.same_server && servers(found).len() != 1 {
        problems.add("not one server", &format!("{:?}", servers(found)));
    }
    if let Some(wanted) = expect.servers.filter(|wanted| *wanted != servers(found).len()) {
        problems.add(&format!("servers not {wanted}"), &format!("{:?}", servers(found)));
    }
    let connections: BTreeSet<String> =
        answers.all.iter().map(|answer| answer.seen["source"].to_string()).collect();
    let connections = connections.len() as u64;
    if expect.connections.as_ref().is_some_and(|wanted| !wanted.contains(connections)) {
        problems.add("number of connections not as expected", &connections);
    }
    for answer in &answers.all {
        judge_answer(expect, answer, &mut problems);
    }
    judge_log(expect, &found.logged, &mut problems);
    problems.0
}

fn servers(found: &Observation) -> BTreeSet<&str> {
    found.answers.all.iter().map(Answer::version).collect()
}

fn judge_answer(expect: &Expect, answer: &Answer, problems: &mut Problems) {
    problems.headers("answer's header", &expect.headers, &answer.headers);
    if let Some(part) = expect.body.as_ref().filter(|part| !answer.text.contains(part.as_str())) {
        problems.add(&format!("body without `{part}`"), &answer.text);
    }
    if let Some([least, most]) =
        expect.took.filter(|[least, most]| !(least..=most).contains(&&answer.milliseconds))
    {
        problems.add(&format!("took not {least} to {most} ms"), &answer.milliseconds);
    }
    let kept = answer.seen["kept"].as_u64();
    if expect.kept.as_ref().is_some_and(|wanted| !kept.is_some_and(|kept| wanted.contains(kept))) {
        problems.add("number of kept requests not as expected", &answer.seen["kept"]);
    }
    if let Some(seen) = &expect.seen {
        judge_seen(seen, answer, problems);
    }
}

fn judge_seen(expect: &Seen, answer: &Answer, problems: &mut Problems) {
    if answer.seen.is_null() {
        problems.add("no server saw it", &answer.status);
        return;
    }
    let fields = [
        ("path", &expect.path),
        ("query", &expect.query),
        ("host", &expect.host),
        ("method", &expect.method),
        ("protocol", &expect.protocol),
    ];
    for (name, wanted) in fields {
        let found = answer.seen[name].as_str().unwrap_or_default();
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            problems.add(&format!("the server saw {name} not `{wanted}`"), &found);
        }
    }
    let headers = answer.seen["headers"].as_object().into_iter().flatten();
    let headers =
        headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    problems.headers("server saw header", &expect.headers, &headers);
}

fn judge_log(expect: &Expect, lines: &[Logged], problems: &mut Problems) {
    if expect.flags.is_some() && lines.is_empty() {
        problems.add("flags", &"no log line");
    } else if let Some(wanted) = &expect.flags {
        problems.shares("flags", wanted, lines.iter().map(|line| line.flags.clone()), expect.within);
    }
    let fields = |line: &Logged| [line.cluster.clone(), line.route.clone()];
    let found: Vec<_> = lines.iter().map(fields).collect();
    let wanted = [("cluster", &expect.cluster), ("route", &expect.route)];
    for (index, (name, wanted)) in wanted.into_iter().enumerate() {
        let Some(wanted) = wanted else { continue };
        match found.iter().map(|fields| &fields[index]).find(|found| *found != wanted) {
            Some(found) => problems.add(&format!("{name} not `{wanted}`"), found),
            None if found.is_empty() => problems.add(&format!("{name} not `{wanted}`"), &"no log line"),
            None => {}
        }
    }
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, what: &str, found: &impl Display) {
        let problem = format!("{what}: {found}");
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    fn headers(
        &mut self,
        what: &str,
        wanted: &BTreeMap<String, Option<String>>,
        found: &BTreeMap<String, String>,
    ) {
        for (name, wanted) in wanted {
            let found = found.get(&name.to_ascii_lowercase());
            let fits = match (wanted, found) {
                (Some(wanted), Some(found)) => fits(wanted, found),
                (wanted, found) => wanted.is_none() && found.is_none(),
            };
            if !fits {
                let say =
                    |value: Option<&String>| value.map_or_else(|| "none".to_owned(), |it| format!("`{it}`"));
                self.add(&format!("{what} {name} not {}", say(wanted.as_ref())), &say(found));
            }
        }
    }

    fn shares<T: Ord + Display + Clone>(
        &mut self,
        what: &str,
        wanted: &Shares<T>,
        found: impl Iterator<Item = T>,
        within: f64,
    ) {
        let mut counts: BTreeMap<T, u32> = BTreeMap::new();
        let mut all = 0_u32;
        for value in found {
            *counts.entry(value).or_default() += 1;
            all += 1;
        }
        let said = || {
            counts.iter().map(|(value, count)| format!("{value} x {count}")).collect::<Vec<_>>().join(", ")
        };
        match wanted {
            Shares::One(value) => {
                if counts.keys().any(|found| found != value) || counts.is_empty() {
                    self.add(&format!("{what} not {value}"), &said());
                }
            }
            Shares::Several(shares) => {
                let share = |value: &T| {
                    f64::from(counts.get(value).copied().unwrap_or_default()) * 100.0 / f64::from(all.max(1))
                };
                let off = shares.iter().any(|(value, wanted)| (share(value) - wanted).abs() > within);
                if off || counts.keys().any(|value| !shares.contains_key(value)) {
                    self.add(&format!("{what} in other shares than expected"), &said());
                }
            }
        }
    }
}

/// Whether a value is what is wanted, in which `...` stands for anything.
fn fits(wanted: &str, found: &str) -> bool {
    let Some((begin, rest)) = wanted.split_once("...") else { return wanted == found };
    let Some(found) = found.strip_prefix(begin) else { return false };
    found.char_indices().any(|(at, _)| fits(rest, &found[at..])) || rest.is_empty()
}

fn status_of(answers: &Answers) -> String {
    answers.all.iter().map(|answer| answer.status.to_string()).collect::<Vec<_>>().join(", ")
}

/// Where the observations of one request differ, by aspect. Of requests that are sent several times only the
/// expectations count, as chance has a part in them.
pub(super) fn differences(
    request: &Request,
    ours: &Observation,
    theirs: &Observation,
) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    if request.expect.same_server && servers(ours) != servers(theirs) {
        found.insert("by", format!("{:?} / {:?}", servers(ours), servers(theirs)));
    }
    if request.count > 1 {
        return found;
    }
    let mut compare = |aspect: &'static str, ours: String, theirs: String| {
        if ours != theirs {
            found.insert(aspect, format!("{ours} / {theirs}"));
        }
    };
    compare("answered", (!failed(ours)).to_string(), (!failed(theirs)).to_string());
    let (Some(mine), Some(other)) = (ours.answers.all.first(), theirs.answers.all.first()) else {
        return found;
    };
    compare("status", mine.status.to_string(), other.status.to_string());
    compare("headers", format!("{:?}", mine.calm_headers()), format!("{:?}", other.calm_headers()));
    compare("seen headers", format!("{:?}", mine.calm_seen()), format!("{:?}", other.calm_seen()));
    for aspect in ["path", "query", "host", "method", "protocol"] {
        compare(aspect, mine.seen[aspect].to_string(), other.seen[aspect].to_string());
    }
    if mine.seen.is_null() {
        compare("body", mine.text.clone(), other.text.clone());
    }
    let line = |found: &Observation| found.logged.first().cloned().unwrap_or_default();
    let (mine, other) = (line(ours), line(theirs));
    compare("flags", mine.flags, other.flags);
    compare("cluster", mine.cluster, other.cluster);
    compare("route", mine.route, other.route);
    compare("details", mine.details, other.details);
    found
}

fn failed(found: &Observation) -> bool {
    found.answers.error.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(expect: &str) -> Request {
        serde_saphyr::from_str(&format!("request: GET echo/\nexpect: {expect}\n")).unwrap()
    }

    fn observation(statuses: &[u16]) -> Observation {
        let all = statuses.iter().map(|status| Answer { status: *status, ..Answer::default() }).collect();
        Observation { answers: Answers { all, error: None }, logged: Vec::new() }
    }

    #[test]
    fn what_is_not_as_expected_is_named() {
        assert!(problems(&request("{status: 200}"), &observation(&[200, 200])).is_empty());
        assert_eq!(
            problems(&request("{status: 200}"), &observation(&[200, 503])),
            ["status not 200: 200 x 1, 503 x 1"]
        );
        assert!(problems(&request("{status: {200: 50, 503: 50}}"), &observation(&[200, 503])).is_empty());
        assert_eq!(problems(&request("{status: {200: 90, 503: 10}}"), &observation(&[200, 503])).len(), 1);
        assert_eq!(problems(&request("{flags: UO}"), &observation(&[503])), ["flags: no log line"]);
        assert_eq!(
            problems(&request("{failure: true}"), &observation(&[200])),
            ["there should be no answer: 200"]
        );
        assert_eq!(problems(&request("{headers: {x-a: one, x-b: null}}"), &observation(&[200])).len(), 1);
    }

    #[test]
    fn dots_stand_for_anything() {
        for (wanted, found) in
            [("a", "a"), ("a...", "a"), ("a...c", "abc"), ("...c", "cac"), ("a...b...", "abb")]
        {
            assert!(fits(wanted, found), "{wanted} {found}");
        }
        for (wanted, found) in [("a", "ab"), ("a...", "b"), ("a...c", "abd"), ("a...b...c", "ac"), ("", "a")]
        {
            assert!(!fits(wanted, found), "{wanted} {found}");
        }
    }

    #[test]
    fn what_only_one_data_plane_does_is_a_difference() {
        let one = request("{}");
        assert!(differences(&one, &observation(&[200]), &observation(&[200])).is_empty());
        let found = differences(&one, &observation(&[404]), &observation(&[503]));
        assert_eq!(found["status"], "404 / 503");
    }
}
