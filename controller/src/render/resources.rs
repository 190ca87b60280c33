//! Limits and reservations, in an engine's numbers.

use longshore_crds::workload::{ResourceAmounts, ResourceLimits, Resources as Declared};
use longshore_plan::spec::Resources;

use super::context::Context;

/// The kernel takes no CPU quota below 1 ms in a period of 100 ms: a container with less would be created
/// and not start. Kubernetes' `minQuotaPeriod`.
const LEAST_CPU_LIMIT: u64 = 10;

/// Limits and reservations.
///
/// As in Kubernetes, a CPU limit without a request is the request too, 1000m are 1024 shares, a limit
/// below what the kernel takes is that least one, and a request above its limit is refused. A memory reservation is made only where one is asked for.
pub(super) fn render(context: &mut Context<'_>, field: &str, resources: Option<&Declared>) -> Resources {
    let Some(Declared {
        limits,
        requests,
        cpuset,
    }) = resources
    else {
        return Resources::default();
    };
    let ResourceLimits { cpu, memory, pids } = limits.clone().unwrap_or_default();
    let cpu_limit = context
        .millis(&format!("{field}.limits.cpu"), cpu.as_ref())
        .filter(|millis| *millis > 0);
    let least_limit = cpu_limit.map(|millis| millis.max(LEAST_CPU_LIMIT));
    let memory_limit = context.bytes(&format!("{field}.limits.memory"), memory.as_ref());

    let ResourceAmounts { cpu, memory } = requests.clone().unwrap_or_default();
    let cpu_field = format!("{field}.requests.cpu");
    let memory_field = format!("{field}.requests.memory");
    let cpu_request = context.millis(&cpu_field, cpu.as_ref());
    let memory_request = context.bytes(&memory_field, memory.as_ref());
    for (field, request, limit) in [
        (cpu_field, cpu_request, cpu_limit),
        (memory_field, memory_request, memory_limit),
    ] {
        if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
            context.invalid(&field, "must not be more than the limit");
        }
    }
    Resources {
        cpu_limit_millis: least_limit,
        cpu_shares: cpu_request.or(cpu_limit).map(shares),
        cpuset_cpus: cpuset.clone(),
        memory_limit_bytes: memory_limit,
        memory_reservation_bytes: memory_request,
        pids_limit: pids.filter(|pids| *pids > 0).map(u64::from),
    }
}

/// Kubernetes' `MilliCPUToShares`.
fn shares(millis: u64) -> u64 {
    (millis.saturating_mul(1024) / 1000).clamp(2, 262_144)
}
