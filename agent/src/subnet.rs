//! Chooses subnets for our networks. Docker's own pools end after about 31 networks and can cover the
//! route a device reaches its controller by; ours come from a configured pool and touch nothing the host
//! has a route or a resolver in. Pure, but for [`Taken::of_host`].

use std::net::Ipv4Addr;
use std::str::FromStr;

/// The prefix length of the subnets handed out.
const SUBNET_PREFIX: u8 = 24;

/// An IPv4 network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cidr {
    base: u32,
    prefix: u8,
}

/// A text that is no IPv4 network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no IPv4 network in CIDR form")]
pub struct InvalidCidr {
    /// As given.
    pub text: String,
}

impl Cidr {
    fn new(address: u32, prefix: u8) -> Self {
        Self {
            base: address & mask(prefix),
            prefix,
        }
    }

    fn overlaps(self, other: Self) -> bool {
        let common = mask(self.prefix.min(other.prefix));
        self.base & common == other.base & common
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr {
            text: text.to_owned(),
        };
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        if prefix > 32 {
            return Err(invalid());
        }
        Ok(Self::new(address.into(), prefix))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// What must not be overlapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken(Vec<Cidr>);

impl Taken {
    /// The routes and resolvers of this machine. What cannot be read is not avoided.
    pub(crate) fn of_host() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/net/route"), &read("/etc/resolv.conf"))
    }

    /// From the text of `/proc/net/route` and `/etc/resolv.conf`.
    fn parse(routes: &str, resolvers: &str) -> Self {
        let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
        let routes = routes.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let destination = hex(fields.nth(1)?)?;
            let netmask = hex(fields.nth(5)?)?;
            // The default route covers everything and forbids nothing.
            (netmask != 0).then(|| Cidr::new(destination, u8::try_from(netmask.count_ones()).unwrap_or(32)))
        });
        let resolvers = resolvers.lines().filter_map(|line| {
            let address: Ipv4Addr = line.trim().strip_prefix("nameserver")?.trim().parse().ok()?;
            Some(Cidr::new(address.into(), 32))
        });
        Self(routes.chain(resolvers).collect())
    }

    /// Adds subnets in CIDR form; IPv6 ones cannot collide with ours.
    pub(crate) fn add(&mut self, subnets: &[String]) {
        self.0
            .extend(subnets.iter().filter_map(|s| s.parse::<Cidr>().ok()));
    }
}

/// The first subnet of the pool that overlaps nothing taken.
pub(crate) fn choose(pool: &[Cidr], taken: &Taken) -> Option<Cidr> {
    pool.iter().find_map(|range| {
        let prefix = range.prefix.max(SUBNET_PREFIX);
        let step = 1_u32 << (32 - u32::from(prefix));
        let count = 1_u32 << (prefix - range.prefix).min(16);
        (0..count)
            .map(|i| Cidr::new(range.base.wrapping_add(i * step), prefix))
            .find(|candidate| !taken.0.iter().any(|t| t.overlaps(*candidate)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn reads_routes_and_resolvers_as_the_kernel_writes_them() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t0000C90A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
             garbage\n";
        let resolvers = "# comment\nnameserver 10.202.0.53\nnameserver fe80::1\nsearch example\n";
        let taken = Taken::parse(routes, resolvers);
        assert_eq!(taken, Taken(vec![cidr("10.201.0.0/16"), cidr("10.202.0.53/32")]));
        let pool = [cidr("10.201.0.0/16"), cidr("10.202.0.0/16")];
        assert_eq!(choose(&pool, &taken), Some(cidr("10.202.1.0/24")));
    }

    #[test]
    fn an_exhausted_pool_gives_nothing() {
        let mut taken = Taken::default();
        taken.add(&["10.0.0.0/8".to_owned(), "fd00::/64".to_owned()]);
        assert_eq!(choose(&[cidr("10.201.0.0/16")], &taken), None);
        assert_eq!(choose(&[], &Taken::default()), None);
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in ["", "10.0.0.0", "10.0.0/8", "10.0.0.0/33", "fd00::/64", "a/b"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_chosen_overlaps_nothing(
            pool in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..4),
            taken in proptest::collection::vec((any::<u32>(), 1_u8..=32), 0..16),
        ) {
            let pool: Vec<Cidr> = pool.into_iter().map(|(a, p)| Cidr::new(a, p)).collect();
            let taken = Taken(taken.into_iter().map(|(a, p)| Cidr::new(a, p)).collect());
            if let Some(chosen) = choose(&pool, &taken) {
                prop_assert!(taken.0.iter().all(|t| !t.overlaps(chosen)));
                prop_assert!(pool.iter().any(|p| p.overlaps(chosen) && p.prefix <= chosen.prefix));
            }
        }
    }
}
