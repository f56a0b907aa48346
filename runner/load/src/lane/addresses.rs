//! The addresses of a lane's connections: which address the next one goes to, and which connection takes a request.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::{Lane, LaneState, MAX_YOUNG};
use crate::connection::Connection;
use crate::record::AddressUse;

/// The lane keeps a connection to each address of a service with up to this many addresses, per load and thread. Beyond
/// that it draws addresses at random.
const MOST_SPREAD: usize = 64;

/// Up to this many connections and streams, the lane counts those of each address when it makes another connection.
const FEW_CONNECTIONS: usize = 256;

impl Lane {
    /// Picks an idle connection: the one used last, so that others may close. If the service has several addresses, picks
    /// one at random, so that requests are spread over them as those of independent users are.
    pub(super) fn pick(&self, number: u64, idle: &mut Vec<Rc<Connection>>) -> Option<Rc<Connection>> {
        if self.spread.get() < 2 || idle.len() < 2 {
            return idle.pop();
        }
        // The finalizer of SplitMix64: it decorrelates neighbouring numbers.
        let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let at = (mixed ^ (mixed >> 31)) % idle.len() as u64;
        Some(idle.swap_remove(at as usize))
    }

    /// True when a request waits and there are fewer connections than addresses. Each address should have one.
    pub(super) fn lacks_addresses(&self, state: &LaneState) -> bool {
        !self.target.fresh
            && self.spread.get() > 1
            && !state.waiting.is_empty()
            && (state.unconnected > 0 || state.tcp_connections < self.spread.get().min(MOST_SPREAD))
            && state.connections.len() < self.limit
            && state.young < MAX_YOUNG
    }

    /// Follows the addresses of a service. A connection to a removed address closes after its current request.
    pub(super) fn follow(&self, state: &mut LaneState) {
        let now = self.target.addresses.now();
        if Arc::ptr_eq(&now, &state.followed) {
            return;
        }
        let is_gone =
            |connection: &Connection| connection.address.get().is_some_and(|(address, _)| !now.contains(&address));
        state.connections.iter().filter(|connection| is_gone(connection)).for_each(|connection| connection.retire());
        state.idle.retain(|connection| !connection.is_retired.get());
        self.spread.set(now.len());
        let has_none = |it: &&SocketAddr| {
            !state.connections.iter().any(|connection| connection.address.get().is_some_and(|at| at.0 == **it))
        };
        state.unconnected = now.iter().filter(has_none).count().min(MOST_SPREAD);
        state.followed = now;
    }

    /// The address for a new connection: the one with the fewest connections, starting at `turn`. With many connections,
    /// taking turns is as even.
    pub(crate) fn choose(&self, connection: &Connection, addresses: &[SocketAddr], turn: usize) -> SocketAddr {
        let state = self.state.borrow();
        let first = turn % addresses.len();
        let mut chosen = addresses[first];
        if !self.target.fresh && state.connections.len() <= FEW_CONNECTIONS {
            let count = |address: &SocketAddr| {
                let others = state.connections.iter().filter(|it| !std::ptr::eq(&***it, connection) && it.is_tcp);
                others.filter(|it| it.address.get().is_some_and(|(at, _)| at == *address)).count()
            };
            let in_turn = addresses[first..].iter().chain(&addresses[..first]);
            chosen = in_turn.min_by_key(|address| count(address)).copied().unwrap_or(chosen);
        }
        // Set now, so that a connection made meanwhile picks another address. It is counted once it is made.
        connection.address.set(Some((chosen, usize::MAX)));
        chosen
    }

    /// Counts a new connection to an address.
    pub(crate) fn reached(&self, connection: &Connection, address: SocketAddr) {
        let reached = &mut self.state.borrow_mut().batch.reached;
        let place = reached.iter().position(|it| it.address == address).unwrap_or_else(|| {
            reached.push(AddressUse::new(address));
            reached.len() - 1
        });
        reached[place].connections += 1;
        connection.address.set(Some((address, place)));
    }

    /// A counter that rotates the address of each new connection.
    pub(crate) fn turn(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.next_address = state.next_address.wrapping_add(1);
        state.next_address
    }
}
