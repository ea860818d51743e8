//! What the evaluator says and what the proxy does with the compiled configuration is the same, for any configuration
//! and request.
//!
//! `TRYSAIL_ROUTING_SEED=N` and `TRYSAIL_ROUTING_CASES=N` repeat a failure, or look longer.

use std::collections::HashMap;

use explain::{Decision, Evaluator, Outcome, Request, Unanswerable, Verdict};
use serde_json::Value;
use translate::Memo;

use crate::compiled::{Act, Compiled, Fate, Sent, To};
use crate::dice::Dice;
use crate::world::{PROXIES, mesh, world};
use crate::{generate, questions, shrink};

/// Requests for one configuration.
const REQUESTS: usize = 250;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn the_proxy_does_what_the_evaluator_says() {
    let cases = number("TRYSAIL_ROUTING_CASES", 100_000) as usize;
    let first = number("TRYSAIL_ROUTING_SEED", 1);
    let world = world();
    let mut kinds: HashMap<&'static str, usize> = HashMap::new();
    let (mut done, mut unanswerable) = (0, 0);
    let mut seed = first;
    while done < cases {
        let mut dice = Dice::new(seed);
        let rules = generate::configuration(&mut dice);
        let mesh = mesh(&world, &rules).unwrap_or_else(|| panic!("seed {seed}: no objects: {rules:#?}"));
        let evaluator = Evaluator::new(&mesh);
        let mut compiled: HashMap<usize, Compiled> = HashMap::new();
        let gateways = !mesh.gateways.is_empty();
        let sources: Vec<_> = (0..PROXIES.len()).map(|number| questions::source(&mesh, number)).collect();
        let hosts = questions::hosts(&rules);
        let memo = Memo::default();
        let before = done;
        while done < before + REQUESTS {
            let (proxy, request) = questions::request(&mut dice, gateways, &hosts);
            let compiled = compiled
                .entry(proxy)
                .or_insert_with(|| Compiled::new(&mesh, &PROXIES[proxy], &memo).unwrap());
            match compare(&evaluator, &sources[proxy], compiled, &request) {
                Ok(Some(kind)) => {
                    *kinds.entry(kind).or_default() += 1;
                    done += 1;
                }
                Ok(None) => unanswerable += 1,
                Err(first) => panic!("{}\nat first: {first:#?}", report(seed, rules, proxy, request)),
            }
        }
        seed += 1;
    }
    println!("{done} requests to {} configurations: {kinds:?}; {unanswerable} had no answer", seed - first);
    // Chance that misses would prove nothing: every outcome must have occurred often.
    for kind in ["forward by rule", "forward by default", "redirect", "answer", "not found", "elsewhere"] {
        let times = kinds.get(kind).copied().unwrap_or_default();
        assert!(times > done / 200, "{kind}: only {times} of {done}");
    }
}

/// What kind of request it was, if it has an answer at all, or the two fates that differ.
fn compare(
    evaluator: &Evaluator<'_>,
    source: &explain::Source,
    compiled: &Compiled,
    request: &Request,
) -> Result<Option<&'static str>, Box<(Fate, Fate)>> {
    let decision = match evaluator.explain(source, request) {
        Ok(decision) => decision,
        // What nobody listens for is compared by the tests of listeners.
        Err(
            Unanswerable::UnknownHost { .. }
            | Unanswerable::NotVisible { .. }
            | Unanswerable::NoPort { .. }
            | Unanswerable::Datagrams { .. }
            | Unanswerable::NoServer { .. },
        ) => return Ok(None),
    };
    let Some(routes) = decision.routes.clone() else {
        let table = compiled.fate(&request.port.to_string(), request);
        let none = Fate { virtual_host: None, rule: None, action: Act::NoTable };
        return if table == none { Ok(Some("elsewhere")) } else { Err(Box::new((none, table))) };
    };
    let does = compiled.fate(&routes, request);
    let says = fate(&decision);
    let kind = match (&decision.outcome, &says.rule) {
        (Outcome::Forward(_), Some(_)) => "forward by rule",
        (Outcome::Forward(_), None) => "forward by default",
        (Outcome::Redirect { .. }, _) => "redirect",
        (Outcome::Answer { .. }, _) => "answer",
        (Outcome::NotFound { .. }, _) => "not found",
        (Outcome::PassThrough { .. } | Outcome::Refused { .. } | Outcome::Bytes { .. }, _) => "elsewhere",
    };
    if says == does { Ok(Some(kind)) } else { Err(Box::new((says, does))) }
}

/// The decision in the terms of the proxy.
fn fate(decision: &Decision) -> Fate {
    let rule = decision.matched().map(|rule| {
        let Verdict::Matched { route, .. } = &rule.verdict else { unreachable!() };
        let position = if rule.name.is_empty() { rule.number.to_string() } else { rule.name.clone() };
        (rule.virtual_service.clone(), position, route.clone())
    });
    let passing = |cluster: &str| {
        let (_, rest) = decision.request.split_once(' ').unwrap_or_default();
        let authority = rest.strip_suffix(&decision.path).unwrap_or_default();
        let path = decision.path.as_str();
        let to =
            To { cluster: cluster.to_owned(), weight: 1, authority: authority.to_owned(), known: Some(None) };
        Act::Forward(Sent {
            path: path.to_owned(),
            timeout: None,
            retries: None,
            mirrors: vec![],
            targets: vec![to],
        })
    };
    let connect = decision.request.starts_with("CONNECT ");
    let action = match &decision.outcome {
        Outcome::NotFound { .. } => Act::NotFound,
        Outcome::Redirect { status, location, .. } => Act::Redirect(*status, location.clone()),
        Outcome::Answer { status, body } => Act::Answer(*status, body.clone()),
        Outcome::PassThrough { .. } | Outcome::Refused { .. } if connect => Act::NotFound,
        Outcome::PassThrough { .. } => passing("PassthroughCluster"),
        Outcome::Refused { .. } => Act::Answer(502, String::new()),
        Outcome::Bytes { .. } => Act::NoTable,
        Outcome::Forward(forward) => Act::Forward(Sent {
            path: forward.path.clone(),
            timeout: forward.timeout.as_ref().map(|it| it.parse::<crds::Duration>().unwrap().0),
            retries: forward.retries.as_ref().map(|it| it.attempts),
            mirrors: forward
                .mirrors
                .iter()
                .map(|it| (it.cluster.clone(), (it.percent * 10_000.0) as u32))
                .collect(),
            targets: forward
                .targets
                .iter()
                .map(|to| To {
                    cluster: to.cluster.clone(),
                    weight: to.weight,
                    authority: to.authority.clone().unwrap_or_default(),
                    known: (!to.problem.as_ref().is_some_and(|problem| problem.ends_with("NC")))
                        .then(|| to.destination_rule.as_ref().map(|rule| rule.objects[0].clone())),
                })
                .collect(),
        }),
    };
    Fate { virtual_host: decision.virtual_host.as_ref().map(|host| host.name.clone()), rule, action }
}

/// The difference, made as small as it gets.
fn report(seed: u64, rules: Vec<Value>, proxy: usize, request: Request) -> String {
    let world = world();
    let difference = |rules: &[Value], request: &Request| {
        let mesh = mesh(&world, rules)?;
        let compiled = Compiled::new(&mesh, &PROXIES[proxy], &Memo::default()).ok()?;
        let source = questions::source(&mesh, proxy);
        compare(&Evaluator::new(&mesh), &source, &compiled, request).err()
    };
    let rules = shrink::configuration(rules, &|rules| difference(rules, &request).is_some());
    let request = shrink::request(request, &|request| difference(&rules, request).is_some());
    let Some(fates) = difference(&rules, &request) else { return format!("seed {seed}: gone when repeated") };
    let (says, does) = *fates;
    format!(
        "TRYSAIL_ROUTING_SEED={seed}\n{}\nfrom {}\n{request:#?}\nthe evaluator says {says:#?}\nthe proxy does {does:#?}",
        yaml(&rules),
        PROXIES[proxy].pod,
    )
}

fn yaml(rules: &[Value]) -> String {
    let all: Vec<String> = rules.iter().map(|rule| serde_saphyr::to_string(rule).unwrap()).collect();
    all.join("---\n")
}
