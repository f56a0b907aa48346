//! Connections to workers that take requests directly: one for each worker, which is kept as long as it works.
//!
//! A connection over a cut link is kept: it resumes when TCP does.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Mutex, PoisonError};

use futures::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::debug;

use crate::inference::nats::client::split_address;
use crate::inference::protocol::lines;
use crate::net::Net;

/// The most requests that wait for one connection.
const QUEUE: usize = 1024;

/// A request on its way to a worker.
struct Order {
    id: String,
    request: String,
    accepted: oneshot::Sender<bool>,
}

/// The connections by address.
pub(super) struct Direct {
    net: Net,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    orders: HashMap<String, mpsc::Sender<Order>>,
    drivers: JoinSet<()>,
}

impl Direct {
    pub(super) fn new(net: Net) -> Self {
        Self { net, open: Mutex::default() }
    }

    /// Sends a request to a worker. The future ends with whether the worker accepted it.
    pub(super) fn send(&self, address: &str, id: String, request: String) -> impl Future<Output = bool> + Send + use<> {
        let (accepted, accepting) = oneshot::channel();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &mut *open;
        let orders = open.orders.entry(address.to_owned()).or_insert_with(|| {
            let (orders, queued) = mpsc::channel(QUEUE);
            open.drivers.spawn(drive(self.net.clone(), address.to_owned(), queued));
            orders
        });
        // If the queue is full, the order is dropped, and with it its sender.
        _ = orders.try_send(Order { id, request, accepted });
        async move { accepting.await.unwrap_or(false) }
    }

    /// Closes the connections to all other addresses.
    pub(super) fn keep<'a>(&self, addresses: impl Iterator<Item = &'a str>) {
        let kept: BTreeSet<&str> = addresses.collect();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.orders.retain(|address, _| kept.contains(address.as_str()));
        while open.drivers.try_join_next().is_some() {}
    }
}

/// Sends the orders of one worker until there can be no more.
async fn drive(net: Net, address: String, mut orders: mpsc::Receiver<Order>) {
    let mut next = orders.recv().await;
    while let Some(first) = next {
        let mut pending = HashMap::new();
        if let Err(error) = serve(&net, &address, first, &mut orders, &mut pending).await {
            debug!(address, %error, "lost a worker's connection");
        }
        // Requests that were not accepted fail now: their senders are dropped.
        drop(pending);
        next = orders.recv().await;
    }
}

async fn serve(
    net: &Net,
    address: &str,
    first: Order,
    orders: &mut mpsc::Receiver<Order>,
    pending: &mut HashMap<String, oneshot::Sender<bool>>,
) -> io::Result<()> {
    let (host, port) = split_address(address)?;
    let mut lines = lines(net.connect(host, port).await?);
    let mut next = Some(first);
    loop {
        // A request whose client has left in the meantime is not sent.
        if let Some(order) = next.take().filter(|order| !order.accepted.is_closed()) {
            pending.insert(order.id, order.accepted);
            lines.send(order.request).await.map_err(io::Error::other)?;
        }
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => next = Some(order),
                None => return Ok(()),
            },
            line = lines.next() => {
                let id = line.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
                if let Some(accepted) = pending.remove(&id) {
                    // The client may be gone.
                    _ = accepted.send(true);
                }
            }
        }
        pending.retain(|_, accepted| !accepted.is_closed());
    }
}
