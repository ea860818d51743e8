//! Weights are shares exactly: each random number leads somewhere, and as many lead to a destination as it has weight.

use std::collections::BTreeMap;

use proxy::snapshot::route::Weighted;

use crate::dice::Dice;

#[test]
fn random_numbers_are_shared_out_as_the_weights_say() {
    let mut dice = Dice::new(7);
    for _ in 0..500 {
        let weights: Vec<(u32, usize)> =
            (0..dice.between(1, 6)).map(|at| ([0, 1, 2, 10, 33, 99][dice.below(6)], at)).collect();
        let total: u32 = weights.iter().map(|(weight, _)| weight).sum();
        let Some(weighted) = Weighted::new(weights.clone()) else {
            assert_eq!(total, 0, "{weights:?}");
            continue;
        };
        let mut picked: BTreeMap<usize, u32> = BTreeMap::new();
        for random in 0..total {
            *picked.entry(*weighted.pick(|| random)).or_default() += 1;
        }
        if let [(_, only)] = weights[..] {
            assert_eq!(picked.keys().collect::<Vec<_>>(), [&only]);
            continue;
        }
        let wanted: BTreeMap<usize, u32> =
            weights.iter().filter(|(weight, _)| *weight > 0).map(|(weight, at)| (*at, *weight)).collect();
        assert_eq!(picked, wanted, "{weights:?}");
        // Larger numbers start again from the front.
        assert_eq!(weighted.pick(|| total), weighted.pick(|| 0));
    }
}
