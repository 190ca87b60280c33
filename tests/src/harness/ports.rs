//! Loopback ports for servers that must be told theirs before they start.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

use anyhow::{Result, bail};
use uuid::Uuid;

/// Below Linux's ephemeral range (32768 on), so that no outgoing connection can take a port between
/// the look and the use. `bind(0)` would hand out exactly the ports that they take.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that is free on every interface now, and that this process hands out only once.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    for _ in 0..1000 {
        let [high, low, ..] = Uuid::new_v4().into_bytes();
        let port = RANGE.start + u16::from_be_bytes([high, low]) % (RANGE.end - RANGE.start);
        let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if given.get_or_insert_default().insert(port) && TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {RANGE:?}")
}
