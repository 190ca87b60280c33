//! From when until when a certificate is valid: the one thing of it that is read here.
//!
//! A walk over the DER as far as the two dates, for certificates that this program wrote. What is not as expected is
//! `None`, and a new certificate the answer.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXPLICIT_VERSION: u8 = 0xa0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// The validity of a certificate in DER.
pub(super) fn of(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    for tag in [EXPLICIT_VERSION, INTEGER, SEQUENCE, SEQUENCE] {
        // Version, serial number, signature algorithm, issuer.
        (_, rest) = expect(rest, tag)?;
    }
    let (dates, _) = expect(rest, SEQUENCE)?;
    let (not_before, dates) = time(dates)?;
    let (not_after, _) = time(dates)?;
    Some(Validity {
        not_before,
        not_after,
    })
}

/// The content of the next element and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, mut der) = der.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (digits, rest) = der.split_at_checked(usize::from(first & 0x7f))?;
        der = rest;
        if digits.len() > 4 {
            return None;
        }
        digits
            .iter()
            .fold(0, |length, digit| (length << 8) | usize::from(*digit))
    };
    let (content, rest) = der.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let text = std::str::from_utf8(content).ok()?;
    let text = match tag {
        // Two digits of a year: those from 50 on are of the last century.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some((at.to_zoned(TimeZone::UTC).ok()?.timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn dates_of_three_centuries_are_read() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (from, until) in [(1970, 2036), (1999, 2049), (2050, 2101)] {
            let mut params = CertificateParams::default();
            params.not_before = date_time_ymd(from, 1, 2);
            params.not_after = date_time_ymd(until, 12, 31);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let validity = Validity {
                not_before: at(&format!("{from}-01-02T00:00:00Z")),
                not_after: at(&format!("{until}-12-31T00:00:00Z")),
            };
            assert_eq!(of(certificate.der()), Some(validity));
        }
    }

    #[test]
    fn no_prefix_of_a_certificate_and_no_other_bytes_are_one() {
        let params = CertificateParams::default();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        for end in 0..certificate.der().len() {
            assert_eq!(of(&certificate.der()[..end]), None);
        }
        assert_eq!(of(&[SEQUENCE, 0x89, 1, 1, 1]), None);
    }
}
