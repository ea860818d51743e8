//! `.status` of an object: from what it says now and what there is to say, to what it should say. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::meta::{
    AnalysisLevel, AnalysisMessageBase, AnalysisMessageType, Int64, IstioCondition, IstioStatus,
};
use jiff::Timestamp;
use model::{Finding, FindingKind, Severity};

use super::verdict::{Answer, Verdict};

pub(super) const ACCEPTED: &str = "Accepted";
pub(super) const RESOLVED_REFS: &str = "ResolvedRefs";
pub(super) const PROGRAMMED: &str = "Programmed";

/// Bytes of one message: nobody reads more, and a thousand objects must fit into the API server.
const LONGEST: usize = 4096;
/// A generation's facts change no faster; somebody who writes the same fields must not make a race of it.
const FACTS: Duration = Duration::from_secs(1);
/// How long a message may be older than what it says, where only names and numbers differ.
const WORDING: Duration = Duration::from_secs(5);
/// The same where every proxy has the object, and some came or went meanwhile.
const COUNTS: Duration = Duration::from_mins(10);

/// The status of a generation. A condition that stays as it was keeps its time.
pub(super) fn status(
    before: &IstioStatus,
    generation: i64,
    verdict: &Verdict,
    findings: &[Finding],
    now: Timestamp,
) -> IstioStatus {
    let Verdict { accepted, resolved, programmed } = verdict;
    let condition = |kind: &str, answer: &Answer| {
        let status = if answer.yes { "True" } else { "False" };
        let same = of(before, kind).filter(|known| known.status.as_deref() == Some(status));
        let since = same.and_then(|known| known.last_transition_time.clone());
        let mut message = answer.message.clone();
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
            message.push_str("...");
        }
        IstioCondition {
            kind: Some(kind.to_owned()),
            status: Some(status.to_owned()),
            last_probe_time: None,
            last_transition_time: Some(since.unwrap_or_else(|| seconds(now))),
            reason: Some(answer.reason.to_owned()),
            message: Some(message),
            observed_generation: Some(Int64(generation)),
        }
    };
    IstioStatus {
        conditions: vec![
            condition(ACCEPTED, accepted),
            condition(RESOLVED_REFS, resolved),
            condition(PROGRAMMED, programmed),
        ],
        validation_messages: messages(findings),
        observed_generation: Some(Int64(generation)),
    }
}

/// Whole seconds, as Kubernetes writes times.
fn seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

fn of<'s>(status: &'s IstioStatus, kind: &str) -> Option<&'s IstioCondition> {
    status.conditions.iter().find(|condition| condition.kind.as_deref() == Some(kind))
}

/// What a status says, if that is that every proxy has this generation.
pub(super) fn arrived(status: &IstioStatus, generation: i64) -> Option<&str> {
    let condition = of(status, PROGRAMMED)?;
    let yes = condition.status.as_deref() == Some("True")
        && condition.observed_generation == Some(Int64(generation));
    yes.then(|| condition.message.as_deref().unwrap_or_default())
}

/// How old the last write must be before this one is worth it; none if there is nothing to write.
pub(super) fn urgency(before: &IstioStatus, after: &IstioStatus) -> Option<Duration> {
    if before == after {
        return None;
    }
    let facts = |status: &IstioStatus| -> Vec<_> {
        let fact = |one: &IstioCondition| {
            (one.kind.clone(), one.status.clone(), one.reason.clone(), one.observed_generation)
        };
        status.conditions.iter().map(fact).collect()
    };
    if before.observed_generation != after.observed_generation {
        return Some(Duration::ZERO);
    }
    if facts(before) != facts(after) {
        return Some(FACTS);
    }
    let message = |status: &IstioStatus, kind: &str| of(status, kind).and_then(|one| one.message.clone());
    let others = [ACCEPTED, RESOLVED_REFS];
    let words = others.iter().any(|kind| message(before, kind) != message(after, kind))
        || before.validation_messages != after.validation_messages;
    let arrived = of(after, PROGRAMMED).is_some_and(|one| one.status.as_deref() == Some("True"));
    Some(if arrived && !words { COUNTS } else { WORDING })
}

/// Findings under the names and codes of Istio's analysis, each once.
fn messages(findings: &[Finding]) -> Vec<AnalysisMessageBase> {
    let mut worst: BTreeMap<(&str, &str), Severity> = BTreeMap::new();
    for finding in findings {
        let Some(entry) = analysis(finding.kind) else { continue };
        let known = worst.entry(entry).or_insert(finding.severity);
        *known = (*known).max(finding.severity);
    }
    let message = |((code, name), severity): ((&str, &str), Severity)| AnalysisMessageBase {
        kind: Some(AnalysisMessageType { name: Some(name.to_owned()), code: Some(code.to_owned()) }),
        level: Some(match severity {
            Severity::Info => AnalysisLevel::Info,
            Severity::Warning => AnalysisLevel::Warning,
            Severity::Error => AnalysisLevel::Error,
        }),
        documentation_url: Some(format!(
            "https://istio.io/latest/docs/reference/config/analysis/{}/",
            code.to_lowercase()
        )),
    };
    worst.into_iter().map(message).collect()
}

/// Code and name in Istio's analysis; none for what it has no word for.
fn analysis(kind: FindingKind) -> Option<(&'static str, &'static str)> {
    match kind {
        FindingKind::UnresolvedReference | FindingKind::Misplaced => {
            Some(("IST0101", "ReferencedResourceNotFound"))
        }
        FindingKind::Unreachable => Some(("IST0130", "VirtualServiceUnreachableRule")),
        FindingKind::Deprecated => Some(("IST0002", "Deprecated")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(yes: bool, message: &str) -> Answer {
        Answer { yes, reason: if yes { "Good" } else { "Bad" }, message: message.to_owned() }
    }

    fn verdict(programmed: bool, words: &str) -> Verdict {
        Verdict {
            accepted: answer(true, "fine"),
            resolved: answer(true, "all there"),
            programmed: answer(programmed, words),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn next(before: &IstioStatus, generation: i64, verdict: &Verdict, second: i64) -> IstioStatus {
        status(before, generation, verdict, &[], at(second))
    }

    #[test]
    fn times_change_only_with_the_status() {
        let first = next(&IstioStatus::default(), 1, &verdict(false, "1 of 2"), 0);
        let since =
            |status: &IstioStatus, kind| of(status, kind).unwrap().last_transition_time.clone().unwrap();
        assert_eq!(since(&first, PROGRAMMED), "2027-01-15T08:00:00Z");
        let second = next(&first, 1, &verdict(true, "2 of 2"), 10);
        assert_eq!(since(&second, ACCEPTED), since(&first, ACCEPTED));
        assert_eq!(since(&second, PROGRAMMED), "2027-01-15T08:00:10Z");
        let third = next(&second, 2, &verdict(true, "3 of 3"), 20);
        assert_eq!(since(&third, PROGRAMMED), since(&second, PROGRAMMED), "a new generation, as good");
        assert_eq!(of(&third, PROGRAMMED).unwrap().observed_generation, Some(Int64(2)));
        assert_eq!(arrived(&third, 2), Some("3 of 3"));
        assert_eq!(arrived(&third, 3), None, "true of another generation");
        assert_eq!(arrived(&first, 1), None);
    }

    #[test]
    fn nothing_is_written_that_says_nothing_new() {
        let first = next(&IstioStatus::default(), 1, &verdict(true, "2 of 2"), 0);
        assert_eq!(urgency(&first, &next(&first, 1, &verdict(true, "2 of 2"), 99)), None);
        assert_eq!(urgency(&first, &next(&first, 1, &verdict(true, "3 of 3"), 99)), Some(COUNTS));
        assert_eq!(urgency(&first, &next(&first, 2, &verdict(true, "2 of 2"), 99)), Some(Duration::ZERO));
        let pending = next(&first, 1, &verdict(false, "2 of 3"), 99);
        assert_eq!(urgency(&first, &pending), Some(FACTS));
        assert_eq!(urgency(&pending, &next(&pending, 1, &verdict(false, "2 of 4"), 99)), Some(WORDING));
        let mut other = verdict(true, "2 of 2");
        other.accepted.message = "ignored: a field".to_owned();
        assert_eq!(urgency(&first, &next(&first, 1, &other, 99)), Some(WORDING));
        assert_eq!(urgency(&IstioStatus::default(), &first), Some(Duration::ZERO));
    }

    #[test]
    fn it_survives_the_api_server() {
        let finding = Finding {
            kind: FindingKind::UnresolvedReference,
            severity: Severity::Error,
            field: "spec".into(),
            message: String::new(),
        };
        let written =
            status(&IstioStatus::default(), 3, &verdict(true, "x"), &[finding.clone(), finding], at(0));
        let json = serde_json::to_value(&written).unwrap();
        assert_eq!(json["observedGeneration"], 3, "kubectl wait compares numbers");
        assert_eq!(json["conditions"][2]["observedGeneration"], 3);
        assert_eq!(json["validationMessages"].as_array().unwrap().len(), 1);
        assert_eq!(json["validationMessages"][0]["type"]["code"], "IST0101");
        assert_eq!(json["validationMessages"][0]["level"], "ERROR");
        let read: IstioStatus = serde_json::from_value(json).unwrap();
        assert_eq!(urgency(&read, &written), None);
    }

    #[test]
    fn messages_stay_readable() {
        let long = "é".repeat(LONGEST);
        let written = next(&IstioStatus::default(), 1, &verdict(false, &long), 0);
        let message = of(&written, PROGRAMMED).unwrap().message.clone().unwrap();
        assert!(message.len() <= LONGEST + 3 && message.ends_with("..."), "{}", message.len());
    }
}
