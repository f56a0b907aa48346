//! The NATS protocol: its text (`wire`), its subjects (`subject`), and a client of it (`client`).
//!
//! In scope: what both the bus and its clients need to agree on, after the public description of the client
//! protocol (<https://docs.nats.io/reference/reference-protocols/nats-protocol>). Out of scope: the server (`bus`) and
//! what our programs say over it (`protocol`).

pub(super) mod client;
pub(super) mod subject;
pub(super) mod wire;
