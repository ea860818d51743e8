//! Trying cases in order, until one holds.

use crate::conditions;
use crate::decision::{Decision, RuleSeen, Verdict};
use crate::evaluator::View;
use crate::rules::Case;

/// A case with the name of the VirtualService that has it.
pub(crate) type Named<'a> = (String, Case<'a>);

/// The first case that holds. What was tried is noted in the decision.
pub(crate) fn first<'a>(view: &View<'_>, cases: Vec<Named<'a>>, decision: &mut Decision) -> Option<Case<'a>> {
    let mut matched: Option<Case<'a>> = None;
    for (service, case) in cases {
        if matched.is_some() {
            let known = decision.rules.last().is_some_and(|last| is_same(last, &service, &case));
            decision.not_reached += usize::from(!known);
            continue;
        }
        let judged = case.meant.clone().map(|()| Vec::new()).and_then(|mut held: Vec<String>| {
            held.extend(conditions::judge(view, case.condition)?);
            Ok(held)
        });
        match judged {
            Ok(because) => {
                let verdict = Verdict::Matched { route: case.route_name(), because };
                note(decision, &service, &case, verdict);
                matched = Some(case);
            }
            Err(why) => note(decision, &service, &case, Verdict::Failed { because: vec![why] }),
        }
    }
    matched
}

fn is_same(seen: &RuleSeen, service: &str, case: &Case<'_>) -> bool {
    seen.virtual_service == service && seen.number == case.rule.number
}

/// Conditions of one rule are one entry.
fn note(decision: &mut Decision, service: &str, case: &Case<'_>, verdict: Verdict) {
    if let Some(last) = decision.rules.last_mut().filter(|last| is_same(last, service, case)) {
        match (&mut last.verdict, verdict) {
            (Verdict::Failed { because }, Verdict::Failed { because: more }) => because.extend(more),
            (seen, matched) => *seen = matched,
        }
        return;
    }
    decision.rules.push(RuleSeen {
        virtual_service: service.to_owned(),
        number: case.rule.number,
        name: case.rule.name(),
        delegate: case.rule.delegate.as_ref().map(ToString::to_string),
        verdict,
    });
}
