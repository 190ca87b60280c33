//! The wire contract between controller and agent: ids, topics, envelopes, the Bus trait, an in-memory bus with faults.
