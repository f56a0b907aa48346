//! What becomes of a lane's requests: the moments at which they are sent and answered, and how they end.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{BATCH, Lane, State, nanoseconds};
use crate::failure::Failed;
use crate::job::{Job, micros};
use crate::record::{Gap, Made, Record, place_of};
use crate::seen::Seen;
use crate::slot::{Ended, Slot};
use shakedown_observe::{Failure, Peculiarities, Sample};

impl Lane {
    /// Why the request that waits longest is not sent yet. One that waits for a connection in the making has the network
    /// to blame (`making`), any other ourselves.
    pub(super) fn why_it_waits(&self, state: &State, now_ns: u64, making: Failure) -> Failure {
        let is_new = state.waiting.front().is_some_and(|job| job.can_be_late && job.late_us.is_none());
        match () {
            // Its time was over before the engine came to it.
            () if is_new => Failure::NotSentLate,
            () if state.connecting > 0 => making,
            () if state.slots.len() >= self.limit => Failure::NotSentLimit,
            () if now_ns < state.no_files_until_ns => Failure::NotSentConnections,
            () => Failure::NotSentLate,
        }
    }

    pub(super) fn give_up_first(&self, state: &mut State, failure: Failure, now_ns: u64) {
        if let Some(mut job) = state.waiting.pop_front() {
            job.end_lateness(now_ns);
            if failure == Failure::Timeout {
                self.keep_unsent(state, &job, now_ns, &self.no_connection());
            }
            self.end(state, Ended::unsent(job), Some(failure), now_ns);
        }
    }

    /// No connection was made within the time of a request.
    pub(super) fn no_connection(&self) -> Failed {
        let making = self.making.get();
        Failed::new(Failure::Timeout, format!("no connection was made within the timeout: {making}"))
    }

    /// Keeps a failure that came before anything of an answer.
    pub(super) fn keep_unsent(&self, state: &mut State, job: &Job, now_ns: u64, failed: &Failed) {
        if let Some(place) = state.unseen(job.due_ns, now_ns, failed.kind) {
            state.sampled.insert((place, failed.kind));
            let sample = self.shown(Seen::default().sample(job, now_ns, self.request_name(job), failed));
            state.news.samples.push((failed.kind, sample));
        }
    }

    /// The name of the request that a job is; empty for one that stands alone.
    fn request_name(&self, job: &Job) -> &str {
        let requests = &self.target.requests;
        &requests.at(requests.choose(job.number)).name
    }

    /// Whether this would be the first failure of its kind where the slot's request is counted.
    pub(crate) fn wants(&self, slot: &Slot, kind: Failure) -> bool {
        let now_ns = self.now_ns();
        slot.job().is_some_and(|job| self.state.borrow().unseen(job.due_ns, now_ns, kind).is_some())
    }

    /// More is known of a request that failed.
    pub(crate) fn sampled(&self, kind: Failure, sample: Sample) {
        self.state.borrow_mut().news.samples.push((kind, self.shown(sample)));
    }

    /// A sample without what the server said, where that may repeat a credential that no report knows.
    fn shown(&self, mut sample: Sample) -> Sample {
        if self.target.credentials_vary {
            sample.headers.clear();
            sample.body.clear();
            sample.is_cut = false;
            sample.cause = "not shown, because the credentials of this load differ from request to request".to_owned();
        }
        sample
    }

    /// How long a request took that ends now.
    fn took_ns(&self, job: &Job, failure: Option<Failure>, now_ns: u64) -> u64 {
        let took_ns = now_ns.saturating_sub(job.due_ns);
        if failure == Some(Failure::Timeout) && self.patience_ns > self.timeout_ns {
            // However long it was listened to, its client gave it up at its timeout.
            return took_ns.min(self.timeout_ns);
        }
        took_ns
    }

    /// Counts a request that ended. A closed-loop worker issues its next one.
    pub(super) fn end(&self, state: &mut State, ended: Ended, failure: Option<Failure>, now_ns: u64) {
        let Ended { job, tokens, first_byte_us, is_stuck, told } = ended;
        let took_ns = self.took_ns(&job, failure, now_ns);
        if self.target.requests.have_names() {
            self.gauges.count(self.target.requests.choose(job.number), failure.is_some());
        }
        let latency_us = micros(took_ns);
        let mut record = Record { job, latency_us, first_byte_us, tokens, failure, is_stuck, told, good: 0, lost: 0 };
        record.meets(&self.target.goodput);
        if let Some(oracle) = self.target.oracle.as_ref().filter(|_| failure.is_some()) {
            let (_, request, data) = self.target.requests.of(job.number);
            record.lost = oracle.lost(&request.body(&data), record.tokens.as_ref().map_or(0, |it| it.count()));
        }
        state.news.records.push(record);
        state.open -= 1;
        if !self.is_open && now_ns < state.stop_ns {
            match state.starter.ended(now_ns, failure) {
                Some(due_ns) => self.issue(state, due_ns),
                // It may be the first of those that wait.
                None => self.control.wake(),
            }
        }
        self.show(state);
    }

    /// A connection was made.
    pub(crate) fn made(&self, begun: Instant, connect: Duration, tls: Option<Duration>) {
        let at_ns = nanoseconds(begun.saturating_duration_since(self.zero));
        let micros = |took: Duration| micros(nanoseconds(took));
        self.state.borrow_mut().news.made.push(Made { at_ns, connect_us: micros(connect), tls_us: tls.map(micros) });
    }

    /// The connection begins to send its request.
    pub(crate) fn sending(&self, slot: &Slot) {
        if let Some(mut job) = slot.job.get() {
            let now_ns = self.now_ns();
            job.end_lateness(now_ns);
            job.sent_us = Some(micros(now_ns.saturating_sub(job.due_ns)));
            slot.job.set(Some(job));
            if let Some((_, place)) = slot.address.get()
                && let Some(reached) = self.state.borrow_mut().news.reached.get_mut(place)
            {
                reached.requests += 1;
            }
        }
    }

    /// The head of the answer is there.
    pub(crate) fn answering(&self, slot: &Slot) {
        slot.head_ns.set(self.now_ns());
    }

    /// So many pieces with tokens have come by now, and the server counts so many tokens.
    pub(crate) fn tokens(&self, slot: &Slot, pieces: u64, counted: Option<u64>) {
        if let Some(Job { due_ns, .. }) = slot.job.get()
            && (pieces > 0 || counted.is_some())
        {
            let mut tokens = slot.tokens.borrow_mut();
            let gaps = &mut self.state.borrow_mut().news.gaps;
            tokens.get_or_insert_default().see(due_ns, self.now_ns(), pieces, counted, |gap_us, count| {
                gaps.push(Gap { due_ns, gap_us, count: u32::try_from(count).unwrap_or(u32::MAX) });
            });
        }
    }

    /// Compares the text of an answer with that of the phase that is the measure.
    ///
    /// # Errors
    /// In words, what differs.
    pub(crate) fn compare(&self, job: &Job, text: Vec<u8>, tokens: u64) -> Result<(), String> {
        let Some(oracle) = &self.target.oracle else { return Ok(()) };
        let marks = self.marks.all();
        let due = marks.iter().rev().find(|mark| mark.at_ns <= job.due_ns).map_or(0, |mark| mark.phase);
        // A fault that struck while it was under way may have changed it: it counts for that phase, and is no measure.
        let (_, struck) = place_of(&marks, &self.marks.strikes(), job.due_ns, self.now_ns());
        let phase = struck.unwrap_or(due);
        let (_, request, data) = self.target.requests.of(job.number);
        oracle.compare(request.body(&data), phase, text, tokens)
    }

    /// In what an answer departs from the API.
    pub(crate) fn peculiar(&self, odd: Peculiarities) {
        if odd != Peculiarities::default() {
            self.gauges.note(odd);
        }
    }

    /// The connection's request came to no end within all the time that it was given.
    pub(crate) fn gave_up(self: &Rc<Self>, slot: &Slot) {
        self.ended(slot, Some(self.timed_out(slot)), true);
    }

    /// The connection's request ended. Gives what is known of one that failed, where it is the first of its kind.
    pub(crate) fn answered(self: &Rc<Self>, slot: &Slot, failed: Option<Failed>) -> Option<(Failure, Sample)> {
        self.ended(slot, failed, false)
    }

    /// A request that came to no end, with how far it came.
    fn timed_out(&self, slot: &Slot) -> Failed {
        let is_sent = slot.job().is_some_and(|job| job.sent_us.is_some());
        Failed::new(Failure::Timeout, slot.seen.borrow().progress(is_sent))
    }

    fn ended(self: &Rc<Self>, slot: &Slot, failed: Option<Failed>, is_stuck: bool) -> Option<(Failure, Sample)> {
        let now_ns = self.now_ns();
        // An answer whose last byte is read after the timeout came too late, whoever noticed first.
        let is_over = slot.job().is_some_and(|job| self.is_over(&job, now_ns));
        let failed = match failed {
            Some(failed) if is_over && failed.kind != Failure::Timeout => {
                Some(Failed::new(Failure::Timeout, format!("after the timeout: {} {}", failed.kind, failed.cause)))
            }
            None if is_over => Some(Failed::new(Failure::Timeout, "the answer was whole only after the timeout")),
            failed => failed,
        };
        let ended = slot.take()?;
        let mut state = self.state.borrow_mut();
        let sample = failed.as_ref().and_then(|failed| {
            let end_ns = ended.job.due_ns + self.took_ns(&ended.job, Some(failed.kind), now_ns);
            let place = state.unseen(ended.job.due_ns, end_ns, failed.kind)?;
            state.sampled.insert((place, failed.kind));
            let sample =
                self.shown(slot.seen.borrow().sample(&ended.job, end_ns, self.request_name(&ended.job), failed));
            state.news.samples.push((failed.kind, sample.clone()));
            Some((failed.kind, sample))
        });
        let failure = failed.map(|failed| failed.kind);
        self.end(&mut state, Ended { is_stuck, ..ended }, failure, now_ns);
        if state.news.records.len() >= BATCH {
            let State { news, issued, .. } = &mut *state;
            self.ledger.take(news, *issued, now_ns);
        }
        sample
    }
}
