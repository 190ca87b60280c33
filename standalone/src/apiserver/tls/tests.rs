//! What the identity survives: clocks that are wrong, files that are not ours alone.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn validity(pki: &Pki) -> validity::Validity {
    let der = CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap();
    validity::of(&der).unwrap()
}

#[test]
fn an_identity_made_in_1970_is_good_when_the_clock_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let first = ensure(folder.path(), &[], &[], Timestamp::UNIX_EPOCH).unwrap();
    let now = at("2026-11-25T00:00:00Z");
    let valid = validity(&first);
    assert!(
        valid.not_before <= Timestamp::UNIX_EPOCH && valid.not_after > now,
        "{valid:?}"
    );
    let second = ensure(folder.path(), &[], &[], now).unwrap();
    assert_eq!(first.ca_pem(), second.ca_pem());
}

#[test]
fn a_ca_that_is_over_or_soon_will_be_is_signed_again_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-25T00:00:00Z");
    ensure(folder.path(), &[], &[], now).unwrap();
    let key = || fs::read_to_string(folder.path().join(CA_KEY)).unwrap();
    let before = key();
    for ends in [1980, 2026, 2028] {
        let mut params = ca_params(now).unwrap();
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        let old = params
            .self_signed(&KeyPair::from_pem(&before).unwrap())
            .unwrap()
            .pem();
        write_private(&folder.path().join(CA_CERT), old.as_bytes()).unwrap();
        let again = ensure(folder.path(), &[], &[], now).unwrap();
        assert_ne!(again.ca_pem(), old);
        assert!(validity(&again).not_after > at("2036-01-01T00:00:00Z"));
        assert_eq!(key(), before);
    }
}

#[test]
fn a_key_or_token_that_others_can_read_is_refused_with_the_remedy() {
    for name in [CA_KEY, TOKEN] {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-11-25T00:00:00Z");
        ensure(folder.path(), &[], &[], now).unwrap();
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let Err(error) = ensure(folder.path(), &[], &[], now) else {
            panic!("{name} was taken")
        };
        let words = error.to_string();
        assert!(words.contains(name) && words.contains("chmod 600"), "{words}");
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(ensure(folder.path(), &[], &[], now).is_err(), "a link at {name}");
    }
}
