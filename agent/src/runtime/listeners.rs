//! Who listens on the device, as the kernel tells it in `/proc/net`. Pure, but for [`of_host`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use longshore_plan::observed::HostPort;
use longshore_plan::spec::Protocol;

/// A bound socket of the device that keeps others from its port: a program's, or the engine's own proxy
/// for a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The port.
    pub port: HostPort,
    /// Its address; the unspecified one is all of them.
    pub address: IpAddr,
}

impl Listener {
    /// Whether it keeps a port from being bound on `address`; `None` asks for all of them.
    pub fn excludes(&self, port: HostPort, address: Option<IpAddr>) -> bool {
        let wanted = address.filter(|address| !address.is_unspecified());
        self.port == port
            && (self.address.is_unspecified() || wanted.is_none_or(|wanted| wanted == self.address))
    }
}

/// What listens in this process's network namespace. What cannot be read counts as nothing: the engine
/// has the last word on its ports.
pub(crate) fn of_host() -> Vec<Listener> {
    const TABLES: [(&str, Protocol); 4] = [
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
    ];
    let read = |table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let tables = TABLES.iter();
    tables
        .flat_map(|(table, protocol)| parse(&read(table), *protocol))
        .collect()
}

/// From one table's text: `sl local_address rem_address st …`, addresses as hexadecimal words in the
/// machine's byte order, ports as numbers. A TCP socket holds its port for others in state `0A` (LISTEN)
/// only, a UDP one in `07` (not connected to anybody).
fn parse(table: &str, protocol: Protocol) -> Vec<Listener> {
    let state_wanted = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
        Protocol::Sctp => return Vec::new(),
    };
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        if fields.nth(1)? != state_wanted {
            return None;
        }
        Some(Listener {
            port: HostPort {
                port: u16::from_str_radix(port, 16).ok()?,
                protocol,
            },
            address: parse_address(address)?,
        })
    };
    table.lines().skip(1).filter_map(line).collect()
}

fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            // `::ffff:1.2.3.4` is the IPv4 address.
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(port: u16) -> HostPort {
        HostPort {
            port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_what_listens_and_nothing_else() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
             1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
             2: 0100007F:8AC2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000\n\
             nonsense\n";
        let found = parse(table, Protocol::Tcp);
        let expected = [("0.0.0.0", 8080), ("127.0.0.1", 22)];
        let found: Vec<_> = found
            .iter()
            .map(|l| (l.address.to_string(), l.port.port))
            .collect();
        assert_eq!(found, expected.map(|(address, port)| (address.to_owned(), port)));
        let table = "head\n 0: 00000000000000000000000001000000:0035 0:0 0A\n 1: 0000000000000000FFFF00000100007F:0050 0:0 0A\n";
        let found: Vec<_> = parse(table, Protocol::Tcp)
            .iter()
            .map(|l| l.address.to_string())
            .collect();
        assert_eq!(found, ["::1", "127.0.0.1"]);
    }

    #[test]
    fn sees_a_socket_of_this_process() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp(socket.local_addr().unwrap().port());
        assert!(of_host().iter().any(|l| l.excludes(port, None)));
        drop(socket);
        assert!(!of_host().iter().any(|l| l.excludes(port, None)));
    }

    #[test]
    fn other_addresses_live_side_by_side() {
        let at = |address: &str| Listener {
            port: tcp(80),
            address: address.parse().unwrap(),
        };
        let ip = |text: &str| Some(text.parse().unwrap());
        for (listener, wanted, excludes) in [
            ("0.0.0.0", None, true),
            ("0.0.0.0", ip("10.0.0.1"), true),
            ("::", ip("10.0.0.1"), true),
            ("10.0.0.1", None, true),
            ("10.0.0.1", ip("0.0.0.0"), true),
            ("10.0.0.1", ip("10.0.0.1"), true),
            ("10.0.0.1", ip("10.0.0.2"), false),
        ] {
            assert_eq!(
                at(listener).excludes(tcp(80), wanted),
                excludes,
                "{listener} {wanted:?}"
            );
        }
        assert!(!at("0.0.0.0").excludes(tcp(81), None));
    }
}
