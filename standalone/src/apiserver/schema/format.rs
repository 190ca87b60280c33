//! `format`: the ones Kubernetes checks (`k8s.io/kube-openapi/pkg/validation/strfmt`, and the list in
//! `apiextensions-apiserver/pkg/apiserver/validation/formats.go`). Formats it does not know are ignored, and so are
//! here `isbn`, `isbn10`, `isbn13`, `creditcard`, `ssn`, `rgbcolor` and `bsonobjectid`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, civil};

use super::metadata::{is_dns_label, is_dns_subdomain};
use super::node::Kind;

/// A format that constrains its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Int32,
    Int64,
    Float,
    Double,
    DateTime,
    Date,
    Duration,
    Byte,
    Uuid(Option<u8>),
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Uri,
    Email,
    Hostname,
    HexColor,
    ShortName,
    LongName,
}

impl Format {
    /// The format `name` means for a value of type `kind`; `None` when Kubernetes would not check it.
    pub(super) fn of(name: &str, kind: Option<Kind>) -> Option<Format> {
        match kind {
            Some(Kind::Integer) => match name {
                "int32" => Some(Format::Int32),
                "int64" => Some(Format::Int64),
                _ => None,
            },
            Some(Kind::Number) => match name {
                "float" => Some(Format::Float),
                "double" => Some(Format::Double),
                _ => None,
            },
            None | Some(Kind::String) => Format::of_string(&name.replace('-', "")),
            Some(Kind::Object | Kind::Array | Kind::Boolean | Kind::IntOrString) => None,
        }
    }

    fn of_string(normalized: &str) -> Option<Format> {
        Some(match normalized {
            "datetime" => Format::DateTime,
            "date" => Format::Date,
            "duration" => Format::Duration,
            "byte" => Format::Byte,
            "uuid" => Format::Uuid(None),
            "uuid3" => Format::Uuid(Some(b'3')),
            "uuid4" => Format::Uuid(Some(b'4')),
            "uuid5" => Format::Uuid(Some(b'5')),
            "ipv4" => Format::Ipv4,
            "ipv6" => Format::Ipv6,
            "cidr" => Format::Cidr,
            "mac" => Format::Mac,
            "uri" => Format::Uri,
            "email" => Format::Email,
            "hostname" => Format::Hostname,
            "hexcolor" => Format::HexColor,
            "k8sshortname" => Format::ShortName,
            "k8slongname" => Format::LongName,
            _ => return None,
        })
    }

    /// The format's usual name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Int32 => "int32",
            Format::Int64 => "int64",
            Format::Float => "float",
            Format::Double => "double",
            Format::DateTime => "date-time",
            Format::Date => "date",
            Format::Duration => "duration",
            Format::Byte => "byte",
            Format::Uuid(Some(b'3')) => "uuid3",
            Format::Uuid(Some(b'4')) => "uuid4",
            Format::Uuid(Some(_)) => "uuid5",
            Format::Uuid(None) => "uuid",
            Format::Ipv4 => "ipv4",
            Format::Ipv6 => "ipv6",
            Format::Cidr => "cidr",
            Format::Mac => "mac",
            Format::Uri => "uri",
            Format::Email => "email",
            Format::Hostname => "hostname",
            Format::HexColor => "hexcolor",
            Format::ShortName => "k8s-short-name",
            Format::LongName => "k8s-long-name",
        }
    }

    /// Whether a string obeys the format. Formats of numbers are checked as ranges elsewhere.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Format::Int32 | Format::Int64 | Format::Float | Format::Double => true,
            Format::DateTime => is_date_time(text),
            Format::Date => is_date(text),
            Format::Duration => go_duration(text).is_some() || is_scala_duration(text),
            Format::Byte => STANDARD.decode(text).is_ok(),
            Format::Uuid(version) => is_uuid(text, version),
            Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Cidr => is_cidr(text),
            Format::Mac => is_mac(text),
            Format::Uri => is_request_uri(text),
            Format::Email => is_email(text),
            Format::Hostname => is_hostname(text),
            Format::HexColor => is_hex_color(text),
            Format::ShortName => is_dns_label(text),
            Format::LongName => is_dns_subdomain(text),
        }
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<civil::Date>().is_ok()
}

/// RFC 3339 with an offset, or ISO 8601 local time; Kubernetes takes the empty string for the epoch.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return text.is_empty();
    };
    is_date(date)
        && time
            .get(..8)
            .is_some_and(|clock| clock.as_bytes()[2] == b':' && clock.as_bytes()[5] == b':')
        && (text.parse::<Timestamp>().is_ok() || (time.len() == 8 && text.parse::<civil::DateTime>().is_ok()))
}

/// A duration as Go's `time.ParseDuration` reads it, in nanoseconds.
pub(super) fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            i128::from(whole.parse::<u64>().ok()?)
        };
        // Digits finer than a nanosecond of an hour cannot show.
        let digits = &fraction[..fraction.len().min(18)];
        let below = if digits.is_empty() {
            0
        } else {
            digits.parse::<i128>().ok()? * scale / 10_i128.pow(u32::try_from(digits.len()).ok()?)
        };
        total = total.checked_add(whole.checked_mul(scale)?.checked_add(below)?)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// The lax form `strfmt` takes beside Go's: somewhere a number followed by a unit's name, as `3 days`.
fn is_scala_duration(text: &str) -> bool {
    const EXACT: [&str; 13] = [
        "ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk", "sec", "min",
    ];
    const PREFIXES: [&str; 8] = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let after = rest[start..].trim_start_matches(|c: char| c.is_ascii_digit());
        let unit: String = after
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphabetic() || *c == 'µ')
            .flat_map(char::to_lowercase)
            .collect();
        if EXACT.contains(&unit.as_str()) || PREFIXES.iter().any(|prefix| unit.starts_with(prefix)) {
            return true;
        }
        rest = after;
    }
    false
}

fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    if hex.len() != 32 || !hex.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    // Dashes may be left out, but not moved.
    let mut digits = 0;
    let dashes_in_place = text.bytes().all(|b| {
        if b == b'-' {
            matches!(digits, 8 | 12 | 16 | 20)
        } else {
            digits += 1;
            true
        }
    });
    let variant = matches!(hex[16], b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
    dashes_in_place
        && !text.contains("--")
        && version.is_none_or(|wanted| hex[12] == wanted && (wanted == b'3' || variant))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let limit = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= limit)
}

/// EUI-48, EUI-64 or 20-octet IPoIB, with colons, dashes, or dots between groups of four digits (`net.ParseMAC`).
fn is_mac(text: &str) -> bool {
    let (separator, group) = match (text.as_bytes().get(2), text.as_bytes().get(4)) {
        (Some(b':'), _) => (':', 2),
        (Some(b'-'), _) => ('-', 2),
        (_, Some(b'.')) => ('.', 4),
        _ => return false,
    };
    let groups: Vec<&str> = text.split(separator).collect();
    matches!(groups.len() * group / 2, 6 | 8 | 20)
        && groups
            .iter()
            .all(|g| g.len() == group && g.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// An absolute URI or an absolute path (`url.ParseRequestURI`).
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !rest.is_empty()
    })
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !text
                .chars()
                .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';'))
            && !local.contains('@')
            && domain.split('.').all(|part| !part.is_empty())
    })
}

fn is_hostname(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.split('.').all(|part| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{Format, go_duration};
    use crate::apiserver::schema::node::Kind;

    #[test]
    fn formats_accept_what_kubernetes_accepts() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &[
                    "2026-11-21T21:51:22Z",
                    "2026-11-21T21:51:22.5+02:00",
                    "2014-12-15T19:30:20.000Z",
                    "",
                    "2026-11-21T21:51:22",
                ],
                &[
                    "2026-11-21",
                    "2026-11-21 21:51:22Z",
                    "x",
                    "2026-13-01T00:00:00Z",
                    "20261121T215122Z",
                    "2026-11-21T21:51Z",
                ],
            ),
            ("date", &["2026-11-21"], &["20261121", "2026-02-30", ""]),
            (
                "duration",
                &["1h30m", "-1.5s", "0", "300ms", "3 days", "22 ns"],
                &["", "abc", "1x", "."],
            ),
            ("byte", &["aGk=", ""], &["a", "hi!"]),
            (
                "uuid",
                &[
                    "550e8400-e29b-41d4-a716-446655440000",
                    "550E8400E29B41D4A716446655440000",
                ],
                &["550e8400", ""],
            ),
            (
                "uuid4",
                &["550e8400-e29b-41d4-a716-446655440000"],
                &["550e8400-e29b-31d4-a716-446655440000"],
            ),
            ("ipv4", &["10.0.0.1"], &["10.0.0", "::1"]),
            ("ipv6", &["::1", "fe80::1"], &["10.0.0.1", "g::"]),
            (
                "cidr",
                &["10.0.0.0/8", "::/0"],
                &["10.0.0.0/33", "10.0.0.0", "10.0.0.0/+8"],
            ),
            (
                "mac",
                &["00:11:22:33:44:55", "0011.2233.4455"],
                &["00:11:22", "00:11:22:33:44:5g"],
            ),
            ("uri", &["https://a/b", "/a", "urn:x"], &["a b", "", "nope"]),
            ("email", &["a@b.c"], &["a", "@b", "a@"]),
            ("hostname", &["a.example", "1a"], &["-a", "", "a..b"]),
            ("hexcolor", &["#fff", "00FF00"], &["#ff", "ggg"]),
            ("k8s-short-name", &["a-b"], &["A", "a.b"]),
            ("k8s-long-name", &["a.b"], &["A", "a..b"]),
        ];
        for (name, good, bad) in table {
            let format = Format::of(name, Some(Kind::String)).expect("a known format");
            for text in *good {
                assert!(format.accepts(text), "{name} refuses {text:?}");
            }
            for text in *bad {
                assert!(!format.accepts(text), "{name} takes {text:?}");
            }
        }
        assert_eq!(Format::of("date-time", Some(Kind::Integer)), None);
        assert_eq!(Format::of("made-up", Some(Kind::String)), None);
    }

    #[test]
    fn durations_are_exact() {
        assert_eq!(go_duration("1h30m0.5s"), Some(5_400_500_000_000));
        assert_eq!(go_duration("-.5us"), Some(-500));
        assert_eq!(go_duration("9999999999h"), None);
    }
}
