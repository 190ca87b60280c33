//! The server's identity and the administrator's: a private CA, a server certificate and a token,
//! kept in one folder, and the kubeconfig that puts them together for kubectl.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use jiff::{Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Token;
use crate::private_file;

mod validity;

const CA_KEY: &str = "ca.key";
const CA_CERT: &str = "ca.crt";
const TOKEN: &str = "admin.token";
/// Certificates are valid from 1970 on: a device's clock may well show that until it learns the time, and so may its
/// clients'.
const NOT_BEFORE: (i32, u8, u8) = (1970, 1, 1);
/// No certificate ends less than a lifetime after this, whatever the clock shows: this code is younger.
const WRITTEN: Timestamp = Timestamp::constant(1_764_000_000, 0);
/// Both certificates live this long. The server's is made anew at every start.
const LIFETIME_HOURS: i64 = 10 * 365 * 24;
/// A CA's certificate with less than this left is signed again, with the same key.
const RENEW_HOURS: i64 = 2 * 365 * 24;
const SERVER_NAME: &str = "longshore";

/// Why the identity could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum EnsurePkiError {
    /// A file.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key or certificate that was kept cannot be used.
    #[error("{} is damaged: move it and its neighbours away to have a new identity made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Others could have read or changed a file that is a secret.
    #[error(
        "{} is not this user's alone: `chown` it to the user who runs longshore and `chmod 600` it, or move it and its \
         neighbours away to have a new identity made",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// TLS refused the certificate.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The system gave no random bytes.
    #[error("the system has no random source")]
    Random,
    /// The clock shows a date no certificate can carry.
    #[error("the clock shows a date beyond what certificates can carry")]
    Clock,
}

/// The server's identity and the administrator's credential.
#[derive(Clone)]
pub struct Pki {
    ca_pem: String,
    token: Token,
    tls: Arc<rustls::ServerConfig>,
}

impl Pki {
    /// The CA's certificate: what clients verify the server by.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The administrator's token.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// For the listener.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        self.tls.clone()
    }

    /// A kubeconfig for the server at `url`, in which the context's default namespace is `default`.
    pub fn kubeconfig(&self, url: &str) -> String {
        let ca = BASE64.encode(&self.ca_pem);
        let token = self.token.reveal();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: longshore\n\
             clusters:\n- name: longshore\n  cluster:\n    server: {url}\n    certificate-authority-data: {ca}\n\
             users:\n- name: longshore-admin\n  user:\n    token: {token}\n\
             contexts:\n- name: longshore\n  context:\n    cluster: longshore\n    user: longshore-admin\n    \
             namespace: default\n"
        )
    }

    /// Writes that kubeconfig, mode 0600, wholly or not at all.
    pub fn write_kubeconfig(&self, path: &Path, url: &str) -> Result<(), EnsurePkiError> {
        write_private(path, self.kubeconfig(url).as_bytes())
    }
}

/// Reads the identity kept in `dir`, or makes it (folder 0700, files 0600). The server certificate
/// is for localhost, the loopback addresses and `names`.
pub fn ensure(
    dir: &Path,
    addresses: &[IpAddr],
    names: &[String],
    now: Timestamp,
) -> Result<Pki, EnsurePkiError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(file_error(dir))?;
    let ca_key = if let Some(pem) = read(&dir.join(CA_KEY))? {
        KeyPair::from_pem(&pem).map_err(|_| EnsurePkiError::Damaged {
            path: dir.join(CA_KEY),
        })?
    } else {
        let key = KeyPair::generate().map_err(EnsurePkiError::Certificate)?;
        write_private(&dir.join(CA_KEY), key.serialize_pem().as_bytes())?;
        // A certificate of another key would only be in the way.
        fs::remove_file(dir.join(CA_CERT)).ok();
        key
    };
    let params = ca_params(now)?;
    let kept = match read(&dir.join(CA_CERT))? {
        None => None,
        Some(pem) => {
            let read = CertificateDer::from_pem_slice(pem.as_bytes());
            let certificate = read.map_err(|_| EnsurePkiError::Damaged {
                path: dir.join(CA_CERT),
            })?;
            lasts(&certificate, now).then_some(pem)
        }
    };
    let ca_pem = if let Some(pem) = kept {
        pem
    } else {
        // With the same name and key: who trusts the last one trusts what this one signs.
        let pem = params
            .self_signed(&ca_key)
            .map_err(EnsurePkiError::Certificate)?
            .pem();
        write_private(&dir.join(CA_CERT), pem.as_bytes())?;
        pem
    };
    // The issuer is known by name and key, and both are as they were when the CA was made.
    let issuer = Issuer::from_params(&params, &ca_key);
    let tls = server_config(&issuer, addresses, names, now)?;
    let token = match read(&dir.join(TOKEN))? {
        Some(text) if text.trim().len() >= 32 => text.trim().to_owned(),
        Some(_) => {
            return Err(EnsurePkiError::Damaged {
                path: dir.join(TOKEN),
            });
        }
        None => {
            let mut random = [0u8; 32];
            let provider = rustls::crypto::ring::default_provider();
            provider
                .secure_random
                .fill(&mut random)
                .map_err(|_| EnsurePkiError::Random)?;
            let text = URL_SAFE_NO_PAD.encode(random);
            write_private(&dir.join(TOKEN), text.as_bytes())?;
            text
        }
    };
    Ok(Pki {
        ca_pem,
        token: Token::new(token),
        tls,
    })
}

fn ca_params(now: Timestamp) -> Result<CertificateParams, EnsurePkiError> {
    let mut params = dated(CertificateParams::default(), now)?;
    params.distinguished_name.push(DnType::CommonName, "longshore CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(params)
}

fn server_config(
    issuer: &Issuer<'_, &KeyPair>,
    addresses: &[IpAddr],
    names: &[String],
    now: Timestamp,
) -> Result<Arc<rustls::ServerConfig>, EnsurePkiError> {
    let mut all_names = vec!["localhost".to_owned(), SERVER_NAME.to_owned()];
    all_names.extend(
        names
            .iter()
            .filter(|n| !all_names.contains(n))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let mut params = CertificateParams::new(all_names).map_err(EnsurePkiError::Certificate)?;
    params = dated(params, now)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
    let mut ips = vec![
        IpAddr::from([127, 0, 0, 1]),
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    ];
    // The wildcard address names no machine.
    ips.extend(
        addresses
            .iter()
            .filter(|ip| !ip.is_unspecified() && !ips.contains(ip))
            .copied()
            .collect::<Vec<_>>(),
    );
    params
        .subject_alt_names
        .extend(ips.into_iter().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(EnsurePkiError::Certificate)?;
    let certificate = params
        .signed_by(&key, issuer)
        .map_err(EnsurePkiError::Certificate)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(EnsurePkiError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn dated(mut params: CertificateParams, now: Timestamp) -> Result<CertificateParams, EnsurePkiError> {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let month = u8::try_from(date.month()).unwrap_or(1);
        let day = u8::try_from(date.day()).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), month, day)
    };
    let (year, month, first) = NOT_BEFORE;
    let until = now
        .max(WRITTEN)
        .checked_add(LIFETIME_HOURS.hours())
        .map_err(|_| EnsurePkiError::Clock)?;
    params.not_before = rcgen::date_time_ymd(year, month, first);
    params.not_after = day(until);
    Ok(params)
}

/// Whether a certificate is valid now, and for long enough. What cannot be read is not.
fn lasts(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    let Some(validity) = validity::of(certificate) else {
        return false;
    };
    let needed = now.max(WRITTEN).checked_add(RENEW_HOURS.hours());
    validity.not_before <= now && needed.is_ok_and(|needed| needed <= validity.not_after)
}

/// A file that is ours alone; whoever else could write it could be the administrator.
fn read(path: &Path) -> Result<Option<String>, EnsurePkiError> {
    match private_file::read(path).map_err(file_error(path))? {
        Some(present) if !present.ours_alone => Err(EnsurePkiError::Exposed {
            path: path.to_owned(),
        }),
        present => Ok(present.map(|present| present.text)),
    }
}

fn write_private(path: &Path, content: &[u8]) -> Result<(), EnsurePkiError> {
    private_file::write(path, content).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> EnsurePkiError {
    let path = path.to_owned();
    |source| EnsurePkiError::File { path, source }
}

#[cfg(test)]
mod tests;
