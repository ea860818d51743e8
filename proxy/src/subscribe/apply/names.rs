//! The names that apps are answered.

use std::net::IpAddr;

use xds::NameTable;
use xds::client::{Changed, Rejected, Update};

use super::{Applier, decode, reject};

impl Applier {
    pub(super) fn names(&self, update: Update) -> Vec<Rejected> {
        let (mut changed, mut rejected) = (Vec::new(), Vec::new());
        for one in &update.changed {
            match read(one) {
                Ok(entries) => changed.extend(entries),
                Err(problem) => rejected.push(problem),
            }
        }
        if let Some(names) = &self.names {
            names.update(changed, update.removed.iter().map(|name| name.to_ascii_lowercase()));
        }
        rejected
    }
}

/// A resource is named after the one name in it.
fn read(changed: &Changed) -> Result<Vec<(String, Vec<IpAddr>)>, Rejected> {
    let message: NameTable = decode(changed)?;
    let own = changed.name.to_ascii_lowercase();
    let entry = |(name, info): (String, xds::NameInfo)| {
        if name != own {
            return Err(reject(&changed.name, format!("it tells of {name:?}, not of itself")));
        }
        let address = |text: &String| {
            text.parse().map_err(|_| reject(&changed.name, format!("{text:?} is not an address")))
        };
        Ok((name, info.ips.iter().map(address).collect::<Result<_, _>>()?))
    };
    message.table.into_iter().map(entry).collect()
}
