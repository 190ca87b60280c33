//! Which container comes before which: dependencies within a workload, and those that give up a port or a
//! name before those that take it.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::DesiredWorkload;
use crate::names::DnsLabel;
use crate::spec::DependencyCondition;

/// What a container waits for: what it declares, and every init container before it as completed.
pub(crate) fn dependencies<'a>(
    workload: &'a DesiredWorkload,
    container: &'a DnsLabel,
) -> Vec<(&'a DnsLabel, DependencyCondition)> {
    let Some(own) = workload.containers.iter().find(|c| &c.name == container) else {
        return Vec::new();
    };
    let implied = workload
        .containers
        .iter()
        .take_while(|c| !(own.init && c.name == own.name))
        .filter(|c| c.init && c.name != own.name)
        .map(|c| (&c.name, DependencyCondition::Completed));
    let declared = own
        .behaviour
        .depends_on
        .iter()
        .map(|d| (&d.container, d.condition));
    implied.chain(declared).collect()
}

/// The nodes that lie on a cycle, or between two of them.
///
/// What nothing leads to and what leads nowhere is taken away until only those are left.
pub(crate) fn cyclic(nodes: usize, edges: &[(usize, usize)]) -> BTreeSet<usize> {
    let mut left: BTreeSet<usize> = (0..nodes).collect();
    for forwards in [true, false] {
        let ends = |&(from, to): &(usize, usize)| if forwards { (from, to) } else { (to, from) };
        let mut incoming: BTreeMap<usize, usize> = BTreeMap::new();
        let mut outgoing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (from, to) in edges
            .iter()
            .map(ends)
            .filter(|(a, b)| left.contains(a) && left.contains(b))
        {
            *incoming.entry(to).or_default() += 1;
            outgoing.entry(from).or_default().push(to);
        }
        let mut free: Vec<usize> = left
            .iter()
            .copied()
            .filter(|n| !incoming.contains_key(n))
            .collect();
        while let Some(node) = free.pop() {
            left.remove(&node);
            for &to in outgoing.get(&node).map(Vec::as_slice).unwrap_or_default() {
                if let Some(count) = incoming.get_mut(&to) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(to);
                    }
                }
            }
        }
    }
    left
}

/// The nodes so that every edge points forwards, otherwise by rank (their own order, lowest first). Edges
/// among nodes on a cycle are ignored.
pub(crate) fn sorted(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let cyclic = cyclic(nodes, edges);
    let mut incoming = vec![0_usize; nodes];
    let mut outgoing: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for &(from, to) in edges {
        if !(cyclic.contains(&from) && cyclic.contains(&to)) {
            incoming[to] += 1;
            outgoing[from].push(to);
        }
    }
    let mut free: BTreeSet<usize> = (0..nodes).filter(|&n| incoming[n] == 0).collect();
    let mut order = Vec::with_capacity(nodes);
    while let Some(node) = free.pop_first() {
        order.push(node);
        for &to in &outgoing[node] {
            incoming[to] -= 1;
            if incoming[to] == 0 {
                free.insert(to);
            }
        }
    }
    order
}
