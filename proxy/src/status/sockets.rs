//! Which ports this network namespace listens on, as the kernel says. Readiness asks it whether the listeners of the
//! configuration are really open, on every worker's behalf.

use std::collections::BTreeSet;

/// `TCP_LISTEN` in the kernel's tables.
const LISTEN: &str = "0A";

/// Ports with a listening TCP socket.
pub fn listening_ports() -> BTreeSet<u16> {
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| parse(&table))
        .collect()
}

/// Columns: number, local address and port in hexadecimal, remote, state, and more.
fn parse(table: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (_, port) = columns.next()?.rsplit_once(':')?;
        (columns.nth(1)? == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     0: 00000000:3A99 00000000:0000 0A 00000000:00000000 00:00000000\n\
                     1: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000\n\
                     2: 00000000000000000000000001000000:3A98 00000000000000000000000000000000:0000 0A 0:0\n\
                     garbage\n";
        assert_eq!(parse(table), [15001, 15000]);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listening_ports().contains(&socket.local_addr().unwrap().port()));
    }
}
