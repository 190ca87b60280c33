//! The controller: from custom resources to plans on the bus, and from reports to status.
