//! The JSON bodies on the bus. Headers ignore unknown fields, so that they can grow; the arguments of
//! mutating actions refuse them, so that an old agent never weakens a spec silently.

use longshore_plan::observed::{Drift, Observed};
use longshore_plan::spec::ContentDigest;
use longshore_plan::step::Fence;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::topic::DeviceId;

/// The version of every envelope here.
pub const VERSION: u32 = 1;

/// The largest envelope in bytes; larger ones are dropped and counted.
pub const MAX_ENVELOPE: usize = 128 * 1024;

/// Joins a request and its answers: a UUIDv7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(pub Uuid);

impl std::fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One imperative action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandEnvelope {
    /// [`VERSION`].
    pub version: u32,
    /// Joins it and its answers; a repeat carries the same.
    pub correlation_id: CorrelationId,
    /// The namespace.
    pub tenant: String,
    /// The device's name.
    pub device: String,
    /// Always `container` today.
    pub plugin: String,
    /// One of [`action`].
    pub action: String,
    /// The action's arguments.
    #[serde(default)]
    pub args: Value,
    /// On whose behalf, for the device's journal: a user name or `controller`.
    pub actor: String,
    /// RFC 3339, for people. Never compared.
    pub issued_at: String,
    /// How long it may wait to be taken, in milliseconds. What it waited in the broker is taken off by
    /// MQTT's message expiry, so no clocks are compared; what was taken is worked on however long that is.
    pub ttl_ms: u64,
    /// Who decided, for plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The actions of this protocol version.
pub mod action {
    /// Args: [`longshore_plan::step::PlanCommand`].
    pub const PLAN_APPLY: &str = "plan.apply";
    /// Args: `{"correlationId": …}` of the command to cancel.
    pub const CANCEL: &str = "cancel";
    /// Args: `{"correlationId": …}`; answers how that command ended, for 24 h.
    pub const OUTCOME_GET: &str = "outcome.get";
    /// No args; a report follows.
    pub const REPORT_GET: &str = "report.get";
}

/// One answer. A command may have several, numbered; the last says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseEnvelope {
    /// [`VERSION`].
    pub version: u32,
    /// That of the command, or of the step it answers.
    pub correlation_id: CorrelationId,
    /// The device's id.
    pub device: DeviceId,
    /// Counts the answers to one correlation id from 0.
    pub seq: u32,
    /// No further answer follows.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// How it stands.
    pub status: Status,
    /// HTTP-like, for gateways: 200, 202, 409, 410, 422, 500, 504.
    pub code: u16,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// RFC 3339 by the device's clock, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339 by the device's clock, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// How a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Journaled; more follows.
    Accepted,
    /// Under way; more follows.
    Progress,
    /// Done.
    Succeeded,
    /// Not done, see the error.
    Failed,
    /// Withdrawn before it had an effect, or superseded.
    Cancelled,
}

/// An error on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Stable and low-cardinality: one of [`error_code`].
    pub code: String,
    /// In words, without secrets.
    pub message: String,
    /// More, by code.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// Stable error codes.
pub mod error_code {
    /// A newer fence was seen; details: `{"seen": Fence}`.
    pub const STALE_FENCE: &str = "StaleFence";
    /// Another site's fence.
    pub const FOREIGN_SITE: &str = "ForeignSite";
    /// Arguments this agent doesn't know; details: `{"path": …}`.
    pub const UNSUPPORTED_FIELD: &str = "UnsupportedField";
    /// An action this agent doesn't know.
    pub const UNSUPPORTED_ACTION: &str = "UnsupportedAction";
    /// The precondition did not hold; nothing was done.
    pub const PRECONDITION_FAILED: &str = "PreconditionFailed";
    /// The agent was killed in the middle; details say what is seen now. Not sent by this release's agent,
    /// which finishes what was interrupted and answers that.
    pub const INTERRUPTED: &str = "Interrupted";
    /// It waited longer than its time to live.
    pub const EXPIRED: &str = "Expired";
    /// The ledger could not be written, so nothing was done.
    pub const LEDGER_UNAVAILABLE: &str = "LedgerUnavailable";
    /// The runtime does not answer. Not sent by this release's agent, which waits for it.
    pub const RUNTIME_UNAVAILABLE: &str = "RuntimeUnavailable";
    /// Not readable as what it should be.
    pub const MALFORMED: &str = "Malformed";
    /// No such correlation id is remembered.
    pub const UNKNOWN_COMMAND: &str = "UnknownCommand";
    /// A newer plan took its place.
    pub const SUPERSEDED: &str = "Superseded";
    /// Somebody withdrew it.
    pub const CANCELLED: &str = "Cancelled";
    /// The step was tried and failed; the message says why.
    pub const STEP_FAILED: &str = "StepFailed";
}

/// `evt/birth`: who just came, with what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Birth {
    /// [`VERSION`].
    pub version: u32,
    /// Random per bus session; wills and leases of another one count for nothing.
    pub session: Uuid,
    /// Protocol versions spoken, lowest and highest.
    pub protocol: (u32, u32),
    /// The agent's version.
    pub agent_version: String,
    /// The actions known.
    pub actions: Vec<String>,
    /// Optional behaviour known.
    pub features: Vec<String>,
    /// The highest fence accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// RFC 3339 by the device's clock.
    pub clock: String,
}

/// `evt/gone`: the will of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gone {
    /// [`VERSION`].
    pub version: u32,
    /// The session that ended.
    pub session: Uuid,
}

/// `evt/alive`: renews the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alive {
    /// [`VERSION`].
    pub version: u32,
    /// The session it renews.
    pub session: Uuid,
    /// That of the last report sent.
    pub seq: u64,
    /// That of the last report sent: a controller that knows another one asks for a report.
    pub state_hash: String,
    /// RFC 3339 by the device's clock.
    pub clock: String,
}

/// `evt/report`: the full snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The session it belongs to.
    pub session: Uuid,
    /// Counts reports within a session, from 1; an older one is ignored.
    pub seq: u64,
    /// The digest of everything below: an equal one costs nothing.
    pub state_hash: String,
    /// The fence of the last plan accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// The digest of the last desired set accepted ([`longshore_plan::hash::digest_hex`]), empty if none.
    #[serde(default)]
    pub desired_digest: String,
    /// A plan is being carried out now.
    #[serde(default)]
    pub busy: bool,
    /// What is there.
    pub observed: Observed,
    /// What nobody declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
}

/// `evt/content/request`: a piece of a value, by digest. Stateless at the controller: the agent asks for
/// the next offset until it has `total` bytes, and asks again what got lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentRequest {
    /// [`VERSION`].
    pub version: u32,
    /// Which value.
    pub digest: ContentDigest,
    /// From which byte.
    pub offset: u64,
}

/// `cmd/content/response`. The only envelope that carries a value; it is never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentResponse {
    /// [`VERSION`].
    pub version: u32,
    /// Which value.
    pub digest: ContentDigest,
    /// From which byte.
    pub offset: u64,
    /// How long the whole value is; absent when the controller has no such value (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// At most [`ContentResponse::CHUNK`] bytes, base64.
    #[serde(default)]
    pub data: String,
}

impl ContentResponse {
    /// The largest piece in bytes.
    pub const CHUNK: usize = 48 * 1024;
}

/// Never shows the data: it may be a Secret's.
impl std::fmt::Debug for ContentResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            version,
            digest,
            offset,
            total,
            data,
        } = self;
        f.debug_struct("ContentResponse")
            .field("version", version)
            .field("digest", digest)
            .field("offset", offset)
            .field("total", total)
            .field("data", &format_args!("<{} base64 characters>", data.len()))
            .finish()
    }
}

/// `all/controller`: a live controller, every [`ControllerSign::PERIOD`]; after three times that without
/// one a device counts as unsupervised and heals itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerSign {
    /// [`VERSION`].
    pub version: u32,
    /// The site.
    pub site: String,
    /// The leader's epoch.
    pub epoch: u64,
}

impl ControllerSign {
    /// How often.
    pub const PERIOD: std::time::Duration = std::time::Duration::from_secs(10);
    /// How long its absence makes a device unsupervised.
    pub const UNSUPERVISED_AFTER: std::time::Duration = std::time::Duration::from_secs(30);
}
