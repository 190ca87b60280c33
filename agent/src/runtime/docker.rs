//! Docker Engine through bollard.
