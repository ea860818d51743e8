//! What is to be said of an object: accepted or not, what it names, how far it has come. Pure: what is known in, three
//! answers with their reasons out.

use std::collections::BTreeSet;

use model::{Finding, FindingKind, Missing, Severity};

use super::lost::takes_away;
use super::progress::Progress;

/// Findings in one message; a person mends a few at a time.
const NAMED: usize = 10;

/// Reason of what is only a matter of time.
pub(super) const PENDING: &str = "Pending";

/// One condition's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) yes: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Answer {
    fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { yes: true, reason, message: message.into() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { yes: false, reason, message: message.into() }
    }
}

/// What is known of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Why its newest generation cannot be read.
    pub(super) broken: Option<&'a str>,
    pub(super) generation: i64,
    /// The generation in force; none before the first.
    pub(super) in_force: Option<i64>,
    /// What its newest generation waits for.
    pub(super) held: Option<&'a BTreeSet<Missing>>,
    pub(super) findings: &'a [Finding],
    /// Whether it gets nothing of what it claims, because others have it.
    pub(super) lost: bool,
    /// How far its newest generation has come, if that was looked at.
    pub(super) progress: Option<&'a Progress>,
    /// A replica that should have been heard and was not.
    pub(super) silent: Option<&'a str>,
    /// What the status says already, if that is that every proxy has this generation.
    pub(super) arrived: Option<&'a str>,
    /// Whether proxies may still be on their way to a control plane that has just started.
    pub(super) early: bool,
}

/// The three answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) accepted: Answer,
    pub(super) resolved: Answer,
    pub(super) programmed: Answer,
}

impl Verdict {
    pub(super) fn of(known: &Known<'_>) -> Self {
        let accepted = accepted(known);
        let programmed = programmed(known, &accepted);
        Self { resolved: resolved(known), programmed, accepted }
    }
}

fn accepted(known: &Known<'_>) -> Answer {
    if let Some(problem) = known.broken {
        let stays = match known.in_force {
            Some(generation) => format!("; generation {generation} stays in force"),
            None => String::new(),
        };
        return Answer::no("Invalid", format!("{problem}{stays}"));
    }
    if known.lost {
        return Answer::no("Conflicted", list(known.findings.iter().filter(|finding| takes_away(finding))));
    }
    let notes = list(known.findings.iter().filter(|finding| !unresolved(finding)));
    let nothing = "valid, and nothing in it is ignored";
    Answer::yes("Accepted", if notes.is_empty() { nothing.to_owned() } else { notes })
}

/// It names what is not there, or not for it.
fn unresolved(finding: &Finding) -> bool {
    finding.kind == FindingKind::UnresolvedReference
        || (finding.kind == FindingKind::Misplaced && finding.severity == Severity::Error)
}

fn resolved(known: &Known<'_>) -> Answer {
    if known.broken.is_some() {
        return Answer::no("Invalid", "it cannot be read: see Accepted");
    }
    let missing = || known.findings.iter().filter(|finding| unresolved(finding));
    if missing().any(|finding| finding.severity == Severity::Error) {
        return Answer::no("RefNotFound", list(missing()));
    }
    // A rule that waits leads nowhere even where a mesh-wide look finds nothing.
    let held = known.held.into_iter().flatten();
    let names = held.filter(|one| !matches!(one, Missing::Endpoints(..))).map(ToString::to_string);
    let names: Vec<_> = names.take(NAMED).collect();
    if !names.is_empty() {
        return Answer::no("RefNotFound", names.join("; "));
    }
    let message = list(missing());
    Answer::yes(
        "ResolvedRefs",
        if message.is_empty() { "everything it names exists".to_owned() } else { message },
    )
}

fn programmed(known: &Known<'_>, accepted: &Answer) -> Answer {
    if !accepted.yes {
        return Answer::no("NotAccepted", "not in force: see Accepted");
    }
    if let Some(missing) = known.held {
        let names: Vec<_> = missing.iter().take(NAMED).map(ToString::to_string).collect();
        return Answer::no(
            "Held",
            format!("held until this exists, or for half a minute: {}", names.join("; ")),
        );
    }
    let progress = known.progress.filter(|_| known.in_force == Some(known.generation));
    let progress = match (progress, known.arrived) {
        (Some(progress), _) => progress,
        (None, Some(words)) => return Answer::yes("Programmed", words),
        (None, None) => return Answer::no(PENDING, "about to be sent"),
    };
    let words = progress.words();
    if progress.refusing > 0 {
        return Answer::no("Refused", words);
    }
    if progress.is_complete() && known.silent.is_none() && (known.arrived.is_some() || !known.early) {
        return Answer::yes("Programmed", words);
    }
    if progress.stuck {
        return Answer::no("Lagging", words);
    }
    // Who has it keeps it: a push of something else, or a proxy that just came, is no news about this object.
    if let Some(words) = known.arrived {
        return Answer::yes("Programmed", words);
    }
    let doubt = match known.silent {
        Some(replica) => format!("; {replica} has not said yet that its proxies do"),
        None if progress.is_complete() => {
            "; the control plane has just started, others may be on their way".to_owned()
        }
        None => String::new(),
    };
    Answer::no(PENDING, format!("{words}{doubt}"))
}

fn list<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    let mut all: Vec<_> = findings.collect();
    // The worst first, else in the order of fields.
    all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let mut text = all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Known<'_> = Known {
        broken: None,
        generation: 2,
        in_force: Some(2),
        held: None,
        findings: &[],
        lost: false,
        progress: None,
        silent: None,
        arrived: None,
        early: false,
    };

    fn finding(kind: FindingKind, severity: Severity, message: &str) -> Finding {
        Finding { kind, severity, field: "spec.hosts[0]".into(), message: message.into() }
    }

    fn said(answer: &Answer) -> (bool, &str) {
        (answer.yes, answer.reason)
    }

    fn progress(current: usize, needed: usize) -> Progress {
        let lagging = (current..needed).map(|number| format!("p{number}.shop")).collect();
        Progress { needed, current, lagging, ..Progress::default() }
    }

    fn programmed(progress: &Progress, known: Known<'_>) -> Answer {
        Verdict::of(&Known { progress: Some(progress), ..known }).programmed
    }

    #[test]
    fn an_object_that_cannot_be_read_says_what_stays_in_force() {
        let verdict =
            Verdict::of(&Known { broken: Some("spec.hosts is missing"), in_force: Some(1), ..NOTHING });
        assert_eq!(said(&verdict.accepted), (false, "Invalid"));
        assert_eq!(verdict.accepted.message, "spec.hosts is missing; generation 1 stays in force");
        assert_eq!(said(&verdict.resolved), (false, "Invalid"));
        assert_eq!(said(&verdict.programmed), (false, "NotAccepted"));
    }

    #[test]
    fn who_loses_is_not_accepted_and_who_has_idle_parts_is() {
        let lost = [finding(FindingKind::Conflict, Severity::Error, "shop/older has the host reviews")];
        let arrived = progress(3, 3);
        let verdict =
            Verdict::of(&Known { findings: &lost, lost: true, progress: Some(&arrived), ..NOTHING });
        assert_eq!(said(&verdict.accepted), (false, "Conflicted"));
        assert!(verdict.accepted.message.contains("shop/older"));
        assert_eq!(said(&verdict.programmed), (false, "NotAccepted"), "proxies have it, and it does nothing");
        let notes = [
            finding(FindingKind::Conflict, Severity::Warning, "one of its hosts is another's"),
            finding(FindingKind::Ignored, Severity::Warning, "ignored: no such field"),
        ];
        let verdict = Verdict::of(&Known { findings: &notes, ..NOTHING });
        assert_eq!(said(&verdict.accepted), (true, "Accepted"));
        assert!(verdict.accepted.message.contains("one of its hosts"), "{}", verdict.accepted.message);
        assert!(verdict.accepted.message.contains("no such field"), "{}", verdict.accepted.message);
    }

    #[test]
    fn every_name_that_leads_nowhere_is_said() {
        let findings = [
            finding(FindingKind::UnresolvedReference, Severity::Error, "no service has the host a"),
            finding(FindingKind::Misplaced, Severity::Error, "no service has the host b; did you mean c?"),
        ];
        let verdict = Verdict::of(&Known { findings: &findings, ..NOTHING });
        assert_eq!(said(&verdict.resolved), (false, "RefNotFound"));
        assert!(verdict.resolved.message.contains("host a") && verdict.resolved.message.contains("host b"));
        assert_eq!(said(&verdict.accepted), (true, "Accepted"));
        let verdict = Verdict::of(&NOTHING);
        assert_eq!(said(&verdict.resolved), (true, "ResolvedRefs"));
    }

    #[test]
    fn a_rule_that_waits_says_for_what() {
        let subset = Missing::Subset(model::intern("reviews"), model::intern("v9"));
        let held = BTreeSet::from([subset]);
        let known = Known { held: Some(&held), in_force: Some(1), ..NOTHING };
        let verdict = Verdict::of(&known);
        assert_eq!(said(&verdict.resolved), (false, "RefNotFound"));
        assert_eq!(said(&verdict.programmed), (false, "Held"));
        for answer in [&verdict.resolved, &verdict.programmed] {
            assert!(
                answer.message.contains("no DestinationRule for reviews has the subset v9"),
                "{answer:?}"
            );
        }
        let held = BTreeSet::from([Missing::Endpoints(model::intern("reviews"), model::intern(""))]);
        let verdict = Verdict::of(&Known { held: Some(&held), ..known });
        assert_eq!(said(&verdict.resolved), (true, "ResolvedRefs"), "it exists, without pods");
        assert_eq!(said(&verdict.programmed), (false, "Held"));
    }

    #[test]
    fn programmed_means_everybody_who_needs_it() {
        let answer = programmed(&progress(2, 3), NOTHING);
        assert_eq!(said(&answer), (false, PENDING));
        assert_eq!(answer.message, "2 of 3 proxies have it; waiting for p2.shop");
        let answer = programmed(&progress(3, 3), NOTHING);
        assert_eq!((answer.yes, answer.message.as_str()), (true, "3 of 3 proxies have it"));
        let answer = programmed(&progress(1, 1), NOTHING);
        assert_eq!(answer.message, "1 of 1 proxy has it");
        let answer = programmed(&progress(0, 0), NOTHING);
        assert_eq!(
            (answer.yes, answer.message.as_str()),
            (true, "0 of 0 proxies have it: no connected proxy needs it")
        );
    }

    #[test]
    fn an_older_generation_everywhere_is_not_this_one() {
        let answer = programmed(&progress(3, 3), Known { in_force: Some(1), ..NOTHING });
        assert_eq!(said(&answer), (false, PENDING));
        let answer = programmed(&progress(3, 3), Known { in_force: None, ..NOTHING });
        assert_eq!(said(&answer), (false, PENDING));
    }

    #[test]
    fn what_has_arrived_stays_until_somebody_refuses_or_lags() {
        let arrived = Known { arrived: Some("3 of 3 proxies have it"), ..NOTHING };
        let answer = programmed(&progress(2, 4), arrived);
        assert_eq!(
            (answer.yes, answer.message.as_str()),
            (true, "3 of 3 proxies have it"),
            "a push passes by"
        );
        assert_eq!(said(&Verdict::of(&arrived).programmed), (true, "Programmed"), "not looked at");
        let lagging = Progress { stuck: true, ..progress(2, 3) };
        let answer = programmed(&lagging, arrived);
        assert_eq!(said(&answer), (false, "Lagging"));
        assert_eq!(answer.message, "2 of 3 proxies have it; no answer from p2.shop");
        let refused = vec![("p2.shop".to_owned(), "80/reviews: bad regex".to_owned())];
        let refusing = Progress { refusing: 1, refused, lagging: Vec::new(), ..progress(2, 3) };
        let answer = programmed(&refusing, arrived);
        assert_eq!(said(&answer), (false, "Refused"));
        assert_eq!(answer.message, "2 of 3 proxies have it; refused by p2.shop: 80/reviews: bad regex");
    }

    #[test]
    fn who_was_not_heard_is_not_taken_for_everybody() {
        let answer = programmed(&progress(3, 3), Known { early: true, ..NOTHING });
        assert_eq!(said(&answer), (false, PENDING));
        let silent = Known { silent: Some("istiod-2"), ..NOTHING };
        let answer = programmed(&progress(3, 3), silent);
        assert_eq!(said(&answer), (false, PENDING));
        assert!(answer.message.contains("istiod-2"), "{}", answer.message);
        let answer = programmed(&progress(3, 3), Known { arrived: Some("before"), ..silent });
        assert_eq!((answer.yes, answer.message.as_str()), (true, "before"));
    }
}
