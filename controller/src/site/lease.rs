//! The Lease `longshore-controller`: who leads, and under which epoch.
//!
//! Every acquisition writes an epoch higher than any before: max(stored + 1, Unix seconds). A leader that
//! was thought dead is thereby harmless: devices refuse its plans. Another holder's Lease is respected
//! until it was seen unchanged for its whole duration, by our own clock.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use longshore_bus::clock::Clock;
use tokio::time::Instant;

use super::{params, status};

/// Its name.
pub(crate) const LEASE: &str = "longshore-controller";
/// Where the epoch is written.
pub(crate) const EPOCH: &str = "longshore.dev/epoch";
/// How long it lasts without a renewal.
pub(crate) const DURATION: Duration = Duration::from_mins(1);
/// How often it is renewed: the only write of an idle site.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How often another holder's Lease is looked at.
const POLL: Duration = Duration::from_secs(2);

/// Why we do not lead.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It cannot be read.
    #[error("read Lease {namespace}/{LEASE}")]
    Read {
        /// The system namespace.
        namespace: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// It cannot be written.
    #[error("write Lease {namespace}/{LEASE}")]
    Write {
        /// The system namespace.
        namespace: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// Somebody else leads.
    #[error("Lease {namespace}/{LEASE} is held by {holder}")]
    Lost {
        /// The system namespace.
        namespace: String,
        /// Who.
        holder: String,
    },
}

/// Our hold on the Lease.
#[derive(Clone)]
pub(crate) struct LeaseKeeper {
    api: Api<Lease>,
    namespace: String,
    identity: String,
}

impl LeaseKeeper {
    pub(crate) fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
        }
    }

    /// Waits until nobody else leads, and leads: returns the new epoch, which is above `above`.
    pub(crate) async fn acquire(&self, above: u64, clock: &dyn Clock) -> Result<u64, LeaseError> {
        let mut seen: Option<(Option<LeaseSpec>, Instant)> = None;
        loop {
            let stored = self.read().await?;
            if let Some(lease) = &stored
                && let Some((holder, lasts)) = other_holder(lease, &self.identity)
            {
                match &seen {
                    Some((spec, since)) if *spec == lease.spec => {
                        if since.elapsed() >= lasts {
                            tracing::info!(%holder, "the leader's lease ran out");
                        } else {
                            tokio::time::sleep(POLL).await;
                            continue;
                        }
                    }
                    _ => {
                        tracing::info!(%holder, "somebody else leads; waiting for its lease to run out");
                        seen = Some((lease.spec.clone(), Instant::now()));
                        tokio::time::sleep(POLL).await;
                        continue;
                    }
                }
            }
            let now = timestamp(clock);
            let epoch = next_epoch(stored.as_ref(), now, above);
            if self.write(stored, epoch, now).await? {
                return Ok(epoch);
            }
            // Somebody was faster: look again.
        }
    }

    /// Says that we still lead under `epoch`.
    pub(crate) async fn renew(&self, epoch: u64, clock: &dyn Clock) -> Result<(), LeaseError> {
        for _ in 0..3 {
            let stored = self.read().await?;
            let lost = |holder: String| LeaseError::Lost {
                namespace: self.namespace.clone(),
                holder,
            };
            let Some(lease) = stored else {
                return Err(lost("nobody".to_owned()));
            };
            let holder = lease
                .spec
                .as_ref()
                .and_then(|s| s.holder_identity.clone())
                .unwrap_or_default();
            if holder != self.identity {
                return Err(lost(holder));
            }
            // A newer run under our own name leads as well.
            if stored_epoch(&lease) > epoch {
                return Err(lost(holder));
            }
            if self.write(Some(lease), epoch, timestamp(clock)).await? {
                return Ok(());
            }
        }
        Ok(()) // somebody edits it all the time; the next renewal tries again
    }

    /// Lets go, so that the next one need not wait. Best effort.
    pub(crate) async fn release(&self) -> Result<(), LeaseError> {
        let Some(mut lease) = self.read().await? else {
            return Ok(());
        };
        let Some(spec) = &mut lease.spec else {
            return Ok(());
        };
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        self.replace(&lease).await?;
        Ok(())
    }

    async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        self.api.get_opt(LEASE).await.map_err(|source| LeaseError::Read {
            namespace: self.namespace.clone(),
            source,
        })
    }

    /// Whether the write won.
    async fn write(&self, stored: Option<Lease>, epoch: u64, now: Timestamp) -> Result<bool, LeaseError> {
        let exists = stored.is_some();
        let mut lease = stored.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let taken_over = !exists || stored_epoch(&lease) != epoch;
        lease.metadata.managed_fields = None;
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(EPOCH.to_owned(), epoch.to_string());
        let spec = lease.spec.get_or_insert_default();
        if taken_over {
            spec.acquire_time = Some(MicroTime(now));
            if exists {
                spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
            }
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        if exists {
            return self.replace(&lease).await;
        }
        match self.api.create(&params(), &lease).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(409) => Ok(false),
            Err(source) => Err(self.write_error(source)),
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<bool, LeaseError> {
        match self.api.replace(LEASE, &params(), lease).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(false),
            Err(source) => Err(self.write_error(source)),
        }
    }

    fn write_error(&self, source: kube::Error) -> LeaseError {
        LeaseError::Write {
            namespace: self.namespace.clone(),
            source,
        }
    }
}

fn timestamp(clock: &dyn Clock) -> Timestamp {
    Timestamp::try_from(clock.now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn stored_epoch(lease: &Lease) -> u64 {
    let annotation = lease.metadata.annotations.as_ref().and_then(|a| a.get(EPOCH));
    annotation.and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

/// Who else holds it, and for how long.
fn other_holder(lease: &Lease, identity: &str) -> Option<(String, Duration)> {
    let spec = lease.spec.as_ref()?;
    let holder = spec
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty() && *holder != identity)?;
    let seconds = spec
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok())
        .unwrap_or(DURATION.as_secs());
    Some((holder.to_owned(), Duration::from_secs(seconds)))
}

fn next_epoch(stored: Option<&Lease>, now: Timestamp, above: u64) -> u64 {
    let stored = stored.map_or(0, stored_epoch);
    let unix = u64::try_from(now.as_second()).unwrap_or(0);
    unix.max(stored.saturating_add(1)).max(above.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(epoch: &str, holder: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                annotations: Some([(EPOCH.to_owned(), epoch.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(60),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn an_epoch_is_above_every_other() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (stored, now, above, next) in [
            (None, 1000, 0, 1000),
            (Some("999"), 1000, 0, 1000),
            (Some("1000"), 1000, 0, 1001),
            // A clock that went back.
            (Some("5000"), 1000, 0, 5001),
            // What a device has seen.
            (Some("5000"), 1000, 9000, 9001),
            (Some("no number"), 1000, 0, 1000),
            (None, -5, 0, 1),
        ] {
            let stored = stored.map(|epoch| lease(epoch, "a"));
            assert_eq!(next_epoch(stored.as_ref(), at(now), above), next);
        }
    }

    #[test]
    fn only_another_one_that_holds_it_is_waited_for() {
        assert!(other_holder(&lease("1", "me"), "me").is_none());
        assert!(other_holder(&lease("1", ""), "me").is_none());
        assert_eq!(other_holder(&lease("1", "you"), "me").unwrap().0, "you");
        assert!(other_holder(&Lease::default(), "me").is_none());
    }
}
