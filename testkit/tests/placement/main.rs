//! The same requests meet the same endpoints behind our proxy and behind a stock Envoy, wherever a hash decides: rings and
//! Maglev tables of several sizes, 1 to 20 endpoints, weights of endpoints and of localities, priorities, and every
//! source of the hash that Istio knows; 2000 keys for each.
//!
//! Both read the same clusters and routes. The Envoy is asked over a socket; our proxy's hash and balancer are asked
//! directly, which is what makes so many keys quick. That whole requests pass both alike is shown by rows of the table.

#[cfg(test)]
mod by;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod envoy;
#[cfg(test)]
mod ours;

use std::collections::BTreeSet;

use by::Request;
use cases::cases;
use envoy::Envoy;
use ours::Ours;

/// Keys that are asked for in each case.
const KEYS: usize = 2000;

#[tokio::test]
async fn the_same_keys_pick_the_same_endpoints() {
    let [entrance, servers] = envoy::free_ports();
    let cases = cases(servers);
    let envoy = Envoy::start(&cases, entrance, servers).await.unwrap();
    for case in &cases {
        let requests: Vec<Request> = (0..KEYS).map(|number| case.by.request(number)).collect();
        let theirs = envoy.ask(case, &requests).unwrap();
        let ours = Ours::new(case);
        let differ = |(request, theirs): (&Request, &String)| {
            let ours = ours.pick(request);
            (ours != *theirs).then(|| format!("{request:?}: {ours}, Envoy {theirs}"))
        };
        let differences: Vec<_> = requests.iter().zip(&theirs).filter_map(differ).collect();
        let some = differences.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
        assert!(
            differences.is_empty(),
            "{}: {} of {KEYS} keys differ:\n{some}",
            case.name,
            differences.len()
        );
        // Where all meet one endpoint, nothing is shown.
        let used: BTreeSet<_> = theirs.iter().collect();
        assert!(used.len() >= case.least, "{}: only {used:?} are used", case.name);
    }
    println!("{} cases, {KEYS} keys each", cases.len());
}
