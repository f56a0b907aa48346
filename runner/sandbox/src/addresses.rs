//! Loopback addresses for pods and services.
//!
//! Linux routes all of 127.0.0.0/8 to itself, so every pod can have its own address with real ports. Each sandbox takes a
//! /24 out of 127.64.0.0-127.191.255.255. Several sandboxes on one machine never share one.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

/// A socket that is bound to this host and port of a block marks the block as taken.
const CLAIM: (u8, u16) = (254, 47_254);
/// The upper half of the block is the pods', so that it is one range.
const SERVICES: std::ops::RangeInclusive<u8> = 1..=127;
const PODS: std::ops::RangeInclusive<u8> = 128..=250;

/// One block of addresses. Dropping it releases the block.
#[derive(Debug)]
pub(crate) struct Addresses {
    prefix: [u8; 3],
    used: Mutex<Used>,
    _claim: TcpListener,
}

#[derive(Debug, Default)]
struct Used {
    hosts: BTreeSet<u8>,
    last_pod: u8,
}

impl Addresses {
    /// Takes a random free block.
    ///
    /// # Errors
    /// When 200 random blocks were all taken, or loopback addresses other than 127.0.0.1 do not work on this machine.
    pub fn claim() -> anyhow::Result<Self> {
        let mut last = None;
        for _ in 0..200 {
            let prefix = [127, rand::random_range(64..=191), rand::random()];
            match TcpListener::bind((Ipv4Addr::new(prefix[0], prefix[1], prefix[2], CLAIM.0), CLAIM.1)) {
                Ok(claim) => return Ok(Self { prefix, used: Mutex::default(), _claim: claim }),
                Err(error) => last = Some(error),
            }
        }
        let error = last.map_or_else(|| anyhow::anyhow!("no attempt was made"), anyhow::Error::from);
        Err(error).context("no free block of loopback addresses (127.64.0.0-127.191.255.255) for the sandbox")
    }

    /// An unused address for a service.
    pub fn service(&self) -> Option<Ipv4Addr> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let host = SERVICES.into_iter().find(|host| !used.hosts.contains(host))?;
        used.hosts.insert(host);
        Some(self.at(host))
    }

    /// An unused address for a pod. Addresses of deleted pods are reused as late as possible.
    pub fn pod(&self) -> Option<Ipv4Addr> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let after = PODS.filter(|host| *host > used.last_pod);
        let host = after.chain(PODS).find(|host| !used.hosts.contains(host))?;
        used.hosts.insert(host);
        used.last_pod = host;
        Some(self.at(host))
    }

    /// The range of the pods' addresses.
    pub fn pod_range(&self) -> String {
        format!("{}/25", self.at(128))
    }

    /// Takes the address if it is in this block's range for services and unused.
    pub fn take_service(&self, address: Ipv4Addr) -> bool {
        let [a, b, c, host] = address.octets();
        let mine = [a, b, c] == self.prefix && SERVICES.contains(&host);
        mine && self.used.lock().unwrap_or_else(PoisonError::into_inner).hosts.insert(host)
    }

    /// Releases an address. Addresses of other blocks are ignored.
    pub fn release(&self, address: Ipv4Addr) {
        let [a, b, c, host] = address.octets();
        if [a, b, c] == self.prefix {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).hosts.remove(&host);
        }
    }

    fn at(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.prefix[0], self.prefix[1], self.prefix[2], host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_differ_and_addresses_come_back_late() {
        let (one, two) = (Addresses::claim().unwrap(), Addresses::claim().unwrap());
        assert_ne!(one.prefix, two.prefix);
        let first = one.pod().unwrap();
        one.release(first);
        assert_ne!(one.pod().unwrap(), first);
        let rest: Vec<_> = std::iter::from_fn(|| one.pod()).collect();
        assert_eq!(rest.len(), PODS.count() - 1);
        assert_eq!(rest.last(), Some(&first));
    }

    #[test]
    fn addresses_of_services_can_be_asked_for() {
        let addresses = Addresses::claim().unwrap();
        let first = addresses.service().unwrap();
        assert!(!addresses.take_service(first));
        addresses.release(first);
        assert!(addresses.take_service(first));
        assert!(!addresses.take_service(Ipv4Addr::LOCALHOST));
    }
}
