//! The log's bytes: a checksum, a space, one record as JSON, a newline.
//!
//! The first line is always a snapshot that was put in place by a rename, so only later lines can be torn.

use longshore_plan::hash::digest_hex;

use super::record::Record;
use super::state::LedgerState;

const CHECKSUM: usize = 16;

/// What a log holds.
pub(super) struct Parsed {
    pub(super) state: LedgerState,
    /// How many bytes are whole records; what follows is a torn end.
    pub(super) whole: u64,
    /// How many bytes the first line has.
    pub(super) snapshot: u64,
}

/// A line that is not what was written, with whole lines after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corrupt {
    /// Which, from 1.
    pub(super) line: usize,
}

pub(super) fn line(record: &Record) -> Vec<u8> {
    let json = serde_json::to_string(record).expect("records have string keys and no failing serialisers");
    format!("{} {json}\n", checksum(&json)).into_bytes()
}

pub(super) fn snapshot(state: &LedgerState) -> Vec<u8> {
    line(&Record::Snapshot(Box::new(state.clone())))
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Corrupt> {
    let mut state = LedgerState::default();
    let (mut whole, mut first) = (0, 0);
    let mut rest = bytes;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let record = end.and_then(|end| record(&rest[..end]));
        let (Some(end), Some(record)) = (end, record) else {
            let last = end.is_none_or(|end| end + 1 == rest.len());
            if last && number > 1 {
                break;
            }
            return Err(Corrupt { line: number });
        };
        if matches!(record, Record::Snapshot(_)) != (number == 1) {
            return Err(Corrupt { line: number });
        }
        state.apply(record);
        rest = &rest[end + 1..];
        whole += end as u64 + 1;
        if number == 1 {
            first = whole;
        }
    }
    if number == 0 {
        return Err(Corrupt { line: 0 });
    }
    Ok(Parsed {
        state,
        whole,
        snapshot: first,
    })
}

fn record(line: &[u8]) -> Option<Record> {
    let line = std::str::from_utf8(line).ok()?;
    let (sum, json) = line.split_once(' ')?;
    (sum == checksum(json)).then_some(())?;
    serde_json::from_str(json).ok()
}

fn checksum(json: &str) -> String {
    let mut hex = digest_hex(&json);
    hex.truncate(CHECKSUM);
    hex
}
