//! The deployment on real sockets, through links that the tests open and block.

mod ailing;
mod bus;
mod cuts;
mod harness;
mod leases;
mod likeness;
mod real_bus;
mod serving;
