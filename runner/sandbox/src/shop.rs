//! An ordinary deployment: HTTP services that call each other, a cache and a database. Like the programs of
//! [`inference`](super::inference), they run over [`Net`](super::net::Net) as tasks of pods, and unchanged on a real host.
//!
//! - [`service`] answers HTTP requests after calls to others;
//! - [`redis`] speaks the protocol of Redis (RESP2) as far as a cache needs it;
//! - [`postgres`] speaks PostgreSQL's protocol (version 3) as far as simple queries need it.
//!
//! Out of scope: which of them a deployment has (`topology`).

mod calls;
mod config;
mod postgres;
mod redis;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use config::split;
pub use config::{Call, HttpCall, PostgresCall, PostgresConfig, RedisCall, RedisConfig, ServiceConfig};
pub(crate) use postgres::postgres;
pub(crate) use redis::redis;
pub(crate) use service::{CHECKS as SERVICE_CHECKS, service};
