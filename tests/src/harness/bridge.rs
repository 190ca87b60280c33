//! A network bridge and an address range of its own for each private engine.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::process::run;

/// Second octets of 10.0.0.0/8 that engines are given, one each.
const BLOCKS: std::ops::RangeInclusive<u8> = 64..=223;

/// A bridge `lsd<n>` that owns 10.n.0.0/16. The name is the claim: the kernel refuses to make it
/// twice, also between processes that know nothing of each other.
#[derive(Debug, Clone)]
pub(super) struct Bridge {
    block: u8,
}

impl Bridge {
    /// Claims a block that no route of this machine leads into, and makes its bridge.
    pub(super) fn create() -> Result<Self> {
        let routes = routes()?;
        let mut refusal = None;
        // From a random one on: engines that start together then rarely ask for the same.
        let [random, ..] = Uuid::new_v4().into_bytes();
        let skipped = usize::from(random) % BLOCKS.len();
        for block in BLOCKS.cycle().skip(skipped).take(BLOCKS.len()) {
            let bridge = Self { block };
            if routes.iter().any(|route| route.overlaps(bridge.block)) {
                continue;
            }
            match ip(&["link", "add", "name", &bridge.name(), "type", "bridge"]) {
                Ok(()) => {
                    let address = format!("10.{}.0.1/24", bridge.block);
                    ip(&["addr", "add", &address, "dev", &bridge.name()])?;
                    ip(&["link", "set", &bridge.name(), "up"])?;
                    return Ok(bridge);
                }
                Err(error) if format!("{error:#}").contains("File exists") => {}
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(error) => Err(error.context("making a bridge for a private engine")),
            None => bail!(
                "every block 10.{}.0.0/16 to 10.{}.0.0/16 is in use",
                BLOCKS.start(),
                BLOCKS.end()
            ),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("lsd{}", self.block)
    }

    /// The engine's pool for networks that are made without a subnet: the block's upper half.
    pub(super) fn pool(&self) -> String {
        format!("10.{}.128.0/17", self.block)
    }
}

/// Removes a bridge; one that is gone already is fine.
pub(super) fn remove(name: &str) -> Result<()> {
    match ip(&["link", "delete", name]) {
        Err(error) if !format!("{error:#}").contains("Cannot find device") => Err(error),
        _ => Ok(()),
    }
}

/// The names of all bridges of this machine.
pub(super) fn all() -> Result<Vec<String>> {
    let interfaces = fs::read_dir("/sys/class/net").context("listing network interfaces")?;
    Ok(interfaces
        .flatten()
        .filter(|interface| interface.path().join("bridge").is_dir())
        .filter_map(|interface| interface.file_name().into_string().ok())
        .collect())
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}

struct Route {
    destination: u32,
    mask: u32,
}

impl Route {
    fn overlaps(&self, block: u8) -> bool {
        let network = u32::from(Ipv4Addr::new(10, block, 0, 0));
        let common = self.mask & 0xffff_0000;
        (self.destination ^ network) & common == 0
    }
}

/// All IPv4 routes but those that lead nearly everywhere: the default one and a VPN's halves of it.
fn routes() -> Result<Vec<Route>> {
    let table = fs::read_to_string("/proc/net/route").context("reading the routes")?;
    // Numbers are hexadecimal in the machine's byte order, which is the network's reversed.
    let number = |field: Option<&str>| u32::from_str_radix(field?, 16).ok().map(u32::swap_bytes);
    Ok(table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let destination = number(fields.next())?;
            let mask = number(fields.nth(5))?;
            Some(Route { destination, mask })
        })
        .filter(|route| route.mask.leading_ones() >= 8)
        .collect())
}
