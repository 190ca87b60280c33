//! End to end: the real `longshore` process on a real engine with real containers. What is waited for is
//! always a condition, with what was last seen when it does not come.
//!
//! Each test has an engine and a site of its own, so it says what it needs and disturbs nobody; how many
//! of them are up at once is limited, because engines are heavy.

mod clash;
mod content;
mod crash;
mod damaged;
mod drift;
mod engine_crash;
mod group;
mod headless;
mod hello;
mod kubectl;
mod manifests;
mod parity;
mod pulls;
mod real_api_server;
mod refused;
mod rollback;
mod secrecy;
mod stage;
mod two_sites;
mod unmanaged;
