//! Routes messages: clients, their subscriptions, and their queues. No sockets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::inference::nats::subject;
use crate::inference::nats::wire::{self, Op};

/// The most subscriptions of a client.
const MAX_SUBSCRIPTIONS: usize = 4096;

/// All clients of a bus.
pub(super) struct Hub {
    state: Mutex<HubState>,
    max_pending: usize,
}

#[derive(Default)]
struct HubState {
    next: u64,
    clients: BTreeMap<u64, Client>,
    /// Counts messages to queue groups, so that members take turns.
    turn: usize,
}

struct Client {
    outbox: Arc<Outbox>,
    echo: bool,
    subscriptions: BTreeMap<String, Subscription>,
}

struct Subscription {
    subject: String,
    queue: Option<String>,
    delivered: u64,
    /// Ends after this many messages.
    max: Option<u64>,
}

/// The output queue of one client.
pub(super) struct Outbox {
    client: u64,
    max: usize,
    /// The output, and how many messages are in it.
    waiting: Mutex<(BytesMut, usize)>,
    changed: Notify,
    overflowed: CancellationToken,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, (BytesMut, usize)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operation. If there are too many bytes, the queue overflows for good.
    pub(super) fn push(&self, op: &Op) {
        let mut waiting = self.waiting();
        let (output, messages) = &mut *waiting;
        wire::write(op, output);
        *messages += usize::from(matches!(op, Op::Msg { .. }));
        if output.len() > self.max || self.overflowed.is_cancelled() {
            self.overflowed.cancel();
            *waiting = Default::default();
        }
        self.changed.notify_one();
    }

    /// Takes the queued output, and says how many messages are in it.
    pub(super) fn rest(&self) -> (BytesMut, usize) {
        std::mem::take(&mut *self.waiting())
    }

    /// Waits for output and takes all of it.
    pub(super) async fn take(&self) -> (BytesMut, usize) {
        loop {
            let waiting = self.rest();
            if !waiting.0.is_empty() {
                return waiting;
            }
            self.changed.notified().await;
        }
    }

    /// Waits until the queue overflows.
    pub(super) async fn overflowed(&self) {
        self.overflowed.cancelled().await;
    }
}

impl Hub {
    pub(super) fn new(max_pending: usize) -> Self {
        Self { state: Mutex::default(), max_pending }
    }

    fn state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client.
    pub(super) fn join(&self) -> Arc<Outbox> {
        let mut state = self.state();
        state.next += 1;
        let client = state.next;
        let outbox = Arc::new(Outbox {
            client,
            max: self.max_pending,
            waiting: Mutex::default(),
            changed: Notify::new(),
            overflowed: CancellationToken::new(),
        });
        let entry = Client { outbox: Arc::clone(&outbox), echo: true, subscriptions: BTreeMap::new() };
        state.clients.insert(client, entry);
        outbox
    }

    /// Removes a client.
    pub(super) fn leave(&self, client: &Outbox) {
        self.state().clients.remove(&client.client);
    }

    /// Whether the client gets its own messages.
    pub(super) fn echo(&self, client: &Outbox, echo: bool) {
        if let Some(client) = self.state().clients.get_mut(&client.client) {
            client.echo = echo;
        }
    }

    /// Subscribes the client to `subject`. A repeated `sid` changes nothing.
    pub(super) fn subscribe(
        &self,
        client: &Outbox,
        subject: String,
        queue: Option<String>,
        sid: String,
    ) -> Result<(), &'static str> {
        if !subject::is_pattern(&subject) {
            return Err("Invalid Subject");
        }
        let mut state = self.state();
        let Some(client) = state.clients.get_mut(&client.client) else { return Ok(()) };
        if client.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err("maximum subscriptions exceeded");
        }
        client.subscriptions.entry(sid).or_insert(Subscription { subject, queue, delivered: 0, max: None });
        Ok(())
    }

    /// Ends the subscription after `max` messages in total; without `max`, at once.
    pub(super) fn unsubscribe(&self, client: &Outbox, sid: &str, max: Option<u64>) {
        let mut state = self.state();
        let Some(client) = state.clients.get_mut(&client.client) else { return };
        match (client.subscriptions.get_mut(sid), max) {
            (Some(subscription), Some(max)) if subscription.delivered < max => subscription.max = Some(max),
            _ => _ = client.subscriptions.remove(sid),
        }
    }

    /// Queues a message for each matching subscription. Among subscriptions with the same queue, one gets it in
    /// turn. If there is no subscription, a publisher that wants an answer gets an empty one at once.
    pub(super) fn publish(
        &self,
        from: &Outbox,
        subject: &str,
        reply: Option<String>,
        payload: Bytes,
    ) -> Result<(), &'static str> {
        if !subject::is_literal(subject) {
            return Err("Invalid Publish Subject");
        }
        let mut state = self.state();
        if state.deliver(from.client, subject, reply.as_deref(), &payload) == 0
            && let Some(reply) = reply
        {
            state.deliver(from.client, &reply, None, &Bytes::new());
        }
        Ok(())
    }
}

impl HubState {
    /// Queues a message for each matching subscription, and returns how many there are.
    fn deliver(&mut self, from: u64, subject: &str, reply: Option<&str>, payload: &Bytes) -> usize {
        let mut receivers: Vec<(u64, String)> = Vec::new();
        let mut groups: HashMap<&str, Vec<(u64, &String)>> = HashMap::new();
        for (id, client) in &self.clients {
            if *id == from && !client.echo {
                continue;
            }
            for (sid, subscription) in &client.subscriptions {
                if !subject::matches(&subscription.subject, subject) {
                    continue;
                }
                match &subscription.queue {
                    Some(queue) => groups.entry(queue).or_default().push((*id, sid)),
                    None => receivers.push((*id, sid.clone())),
                }
            }
        }
        for members in groups.values() {
            let (id, sid) = members[self.turn % members.len()];
            receivers.push((id, sid.clone()));
        }
        self.turn = self.turn.wrapping_add(1);
        let count = receivers.len();
        for (id, sid) in receivers {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let message = Op::Msg {
                subject: subject.to_owned(),
                sid: sid.clone(),
                reply: reply.map(str::to_owned),
                payload: payload.clone(),
            };
            client.outbox.push(&message);
            if let Some(subscription) = client.subscriptions.get_mut(&sid) {
                subscription.delivered += 1;
                if subscription.max.is_some_and(|max| subscription.delivered >= max) {
                    client.subscriptions.remove(&sid);
                }
            }
        }
        count
    }
}
