//! An agent in miniature: it carries out what it is told at once.

use longshore_bus::DeviceId;
use longshore_bus::codec;
use longshore_bus::envelope::{
    CommandEnvelope, ErrorBody, Report, ResponseEnvelope, Status, VERSION, action,
};
use longshore_bus::port::{Message, Properties};
use longshore_plan::desired::DesiredSet;
use longshore_plan::drift::drift;
use longshore_plan::hash::digest_hex;
use longshore_plan::model::ModelDevice;
use longshore_plan::observed::{ContainerState, Health, Observed, RuntimeState};
use longshore_plan::step::{Fence, Plan, PlanCommand};
use serde_json::json;
use uuid::Uuid;

use super::Rig;

/// One device with an agent in miniature: it carries out what it is told at once.
pub(in crate::mind::tests) struct Agent {
    pub(in crate::mind::tests) model: ModelDevice,
    pub(in crate::mind::tests) connected: bool,
    pub(in crate::mind::tests) fence: Option<Fence>,
    pub(in crate::mind::tests) desired: DesiredSet,
    /// Answers every plan with this error instead of doing it.
    pub(in crate::mind::tests) refuses: Option<ErrorBody>,
    /// Takes plans, and says nothing.
    pub(in crate::mind::tests) mute: bool,
    pub(in crate::mind::tests) plans: Vec<PlanCommand>,
    pub(super) session: Uuid,
    pub(super) seq: u64,
}

impl Agent {
    pub(super) fn new() -> Self {
        let observed = Observed {
            runtime: RuntimeState::Ready {
                kind: "sim".into(),
                version: "1".into(),
                api_version: "1".into(),
                os: "linux".into(),
                arch: "amd64".into(),
                capabilities: vec!["update".into()],
            },
            ..Observed::default()
        };
        Self {
            model: ModelDevice::new(observed, &DesiredSet::default()),
            connected: false,
            fence: None,
            desired: DesiredSet::default(),
            refuses: None,
            mute: false,
            plans: Vec::new(),
            session: Uuid::nil(),
            seq: 0,
        }
    }

    pub(super) fn report(&mut self) -> Report {
        self.seq += 1;
        let mut observed = self.model.observed();
        for container in observed
            .containers
            .iter_mut()
            .filter(|c| c.state == ContainerState::Running)
        {
            container.health = Health::Healthy;
        }
        let drift = drift(&self.desired, &observed);
        let desired_digest = match &self.fence {
            Some(_) => digest_hex(&self.desired),
            None => String::new(),
        };
        let hash = digest_hex(&(&observed, &drift, &desired_digest, &self.fence));
        Report {
            version: VERSION,
            session: self.session,
            seq: self.seq,
            state_hash: hash,
            fence: self.fence.clone(),
            desired_digest,
            busy: false,
            observed,
            drift,
        }
    }
}

impl Rig {
    pub(super) fn command(&mut self, id: &DeviceId, command: &CommandEnvelope, reply: &str) {
        if command.action == action::REPORT_GET {
            self.report(id);
            return;
        }
        assert_eq!(command.action, action::PLAN_APPLY);
        let plan: PlanCommand = serde_json::from_value(command.args.clone()).unwrap();
        let agent = self.agents.get_mut(id).unwrap();
        if agent.mute {
            return;
        }
        let stale = agent
            .fence
            .as_ref()
            .filter(|seen| !plan.fence.is_after(seen))
            .cloned();
        let error = agent.refuses.clone().or_else(|| {
            stale.map(|seen| ErrorBody {
                code: "StaleFence".into(),
                message: "a newer plan was seen".into(),
                details: json!({"seen": seen}),
            })
        });
        if error.is_none() {
            agent.fence = Some(plan.fence.clone());
            agent.desired = plan.desired.clone();
            let steps = plan.steps.iter().map(|s| s.step.clone()).collect();
            agent.model.apply(
                &plan.desired,
                &Plan {
                    steps,
                    held: Vec::new(),
                },
            );
            agent.plans.push(plan);
        }
        let response = ResponseEnvelope {
            version: VERSION,
            correlation_id: command.correlation_id,
            device: id.clone(),
            seq: 0,
            is_final: true,
            status: if error.is_some() {
                Status::Failed
            } else {
                Status::Succeeded
            },
            code: 200,
            result: None,
            error,
            started_at: None,
            finished_at: None,
        };
        let message = Message {
            topic: reply.to_owned(),
            payload: codec::encode(&response).unwrap(),
            properties: Properties::default(),
        };
        self.mind.on_message(&message, self.now);
        self.report(id);
    }
}
