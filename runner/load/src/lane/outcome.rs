//! The outcomes of a lane's requests: when they are sent and answered, and how they end.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{BATCH, Lane, LaneState, nanoseconds};
use crate::connection::{Connection, Ended};
use crate::excerpt::{Excerpt, unpacked};
use crate::failure::Failed;
use crate::job::{Job, micros};
use crate::mask::{credentials, mask_text};
use crate::record::{Gap, NewConnection, PartRecord, Record, segment_key};
use crate::said::Said;
use crate::session::as_slice;
use crate::tunnel::OPENING;
use shakedown_observe::{DateSample, Failure, Peculiarities, Sample};

/// A timeout counts as one after a wait if the wait took this part of it or more.
const WAITED: u32 = 10;

impl Lane {
    /// Why the request that has waited longest is not sent. If it waits for a connection in the making, the network is the
    /// cause (`making`); otherwise the load generator is.
    pub(super) fn why_it_waits(&self, state: &LaneState, now_ns: u64, making: Failure) -> Failure {
        let first = state.waiting.front();
        let is_new = first.is_some_and(|job| job.can_be_late && job.late_us.is_none());
        match () {
            // It timed out before the engine processed it.
            () if is_new => Failure::NotSentLate,
            () if first.is_some_and(|job| job.limited) => Failure::NotSentLimit,
            () if state.connecting > 0 => making,
            // The iteration of a later step was sent, and is one of those under way.
            () if state.connections.len() >= self.limit => match first.is_some_and(|job| job.step > 0) {
                true if making.is_not_sent() => Failure::Timeout,
                true => making,
                false => Failure::NotSentLimit,
            },
            () if now_ns < state.no_files_until_ns => Failure::NotSentConnections,
            () => Failure::NotSentLate,
        }
    }

    pub(super) fn give_up_first(&self, state: &mut LaneState, failure: Failure, now_ns: u64) {
        if let Some(mut job) = state.waiting.pop_front() {
            job.end_lateness(now_ns);
            let failed = self.after_wait(&job, Failed::new(failure, self.no_connection().cause));
            if matches!(failed.kind, Failure::Timeout | Failure::TimeoutAfterWait | Failure::NotSentForward) {
                self.keep_unsent(state, &job, now_ns, &failed);
            }
            self.end(state, Ended::unsent(job), Some(failed.kind), now_ns);
        }
    }

    /// No connection was made within the timeout of a request.
    pub(super) fn no_connection(&self) -> Failed {
        let making = self.making.get();
        Failed::new(self.not_connected(), format!("no connection was made within the timeout: {making}"))
    }

    /// The failure of a request that waited for a connection until its timeout.
    pub(super) fn not_connected(&self) -> Failure {
        if self.making.get() == OPENING { Failure::NotSentForward } else { Failure::Timeout }
    }

    /// Keeps the sample of a failure before any answer.
    pub(super) fn keep_unsent(&self, state: &mut LaneState, job: &Job, now_ns: u64, failed: &Failed) {
        if let Some(place) = state.unseen(job.due_ns, now_ns, failed.kind) {
            state.sampled.insert((place, failed.kind));
            let sample = self.shown(job, Excerpt::default().sample(job, now_ns, self.request_name(job), failed));
            state.batch.samples.push((failed.kind, sample));
        }
    }

    /// The name of a job's request. Empty for a load with one request.
    fn request_name(&self, job: &Job) -> &str {
        let requests = &self.target.requests;
        &requests.at(requests.place(job)).name
    }

    /// Whether this would be the first failure of its kind in the request's segment.
    pub(crate) fn wants(&self, connection: &Connection, kind: Failure) -> bool {
        let now_ns = self.now_ns();
        connection.job().is_some_and(|job| self.state.borrow().unseen(job.due_ns, now_ns, kind).is_some())
    }

    /// Stores the completed sample of a failed request.
    pub(crate) fn sampled(&self, connection: &Connection, kind: Failure, sample: Sample) {
        let mut sample = unpacked(sample);
        if let Some((values, hides_body)) = connection.secrets.take() {
            // More of the body was read since it was redacted.
            if hides_body {
                sample.body.clear();
            }
            credentials(as_slice(values.as_ref())).mask(&mut sample.body, sample.is_cut);
        }
        self.state.borrow_mut().batch.samples.push((kind, self.without_credentials(sample)));
    }

    /// The sample of a job's request as reports may show it.
    fn shown(&self, job: &Job, mut sample: Sample) -> Sample {
        if self.target.requests.are_steps {
            if self.hides_answer(job, &sample) {
                sample.headers.clear();
                sample.body.clear();
                if let Some(at) = sample.cause.find(", found ").filter(|_| sample.cause.starts_with("`check.")) {
                    sample.cause.truncate(at);
                }
                sample.cause.push_str(" (the answer is omitted, because this step captures values)");
            }
            let values = self.sessions.values(job);
            let secrets = credentials(as_slice(values.as_ref()));
            secrets.mask(&mut sample.body, sample.is_cut);
            mask_text(&secrets, &mut sample.cause);
            sample.headers.iter_mut().for_each(|(_, value)| mask_text(&secrets, value));
        }
        self.without_credentials(sample)
    }

    /// Whether the answer may contain a credential that was not captured. Only its value can show that it looks random, so
    /// this concerns every step with captures. An answer that reports an error has none of their values.
    fn hides_answer(&self, job: &Job, sample: &Sample) -> bool {
        let requests = &self.target.requests;
        let may_have_values = sample.status.map_or(!sample.body.is_empty(), |status| status < 400);
        !requests.at(requests.place(job)).captures.is_empty() && may_have_values
    }

    /// Removes the server's words from a sample if they may repeat a credential that reports cannot redact.
    fn without_credentials(&self, mut sample: Sample) -> Sample {
        if self.target.credentials_vary {
            sample.headers.clear();
            sample.body.clear();
            sample.is_cut = false;
            sample.cause = "omitted, because the credentials of this load differ from request to request".to_owned();
        }
        sample
    }

    /// The duration of a request that ends now.
    fn took_ns(&self, job: &Job, failure: Option<Failure>, now_ns: u64) -> u64 {
        let took_ns = now_ns.saturating_sub(job.begun_ns());
        if matches!(failure, Some(Failure::Timeout | Failure::TimeoutAfterWait))
            && self.observation_timeout_ns > self.timeout_ns
        {
            // Even if it was observed for longer, its client gave up at the timeout.
            return took_ns.min(self.timeout_ns);
        }
        took_ns
    }

    /// Counts a request that ended. In a closed loop, its worker issues the next one.
    pub(super) fn end(&self, state: &mut LaneState, ended: Ended, failure: Option<Failure>, now_ns: u64) {
        self.count_request(state, &ended, failure, now_ns);
        let Ended { job, tokens, first_byte_us, is_stuck, traits, .. } = ended;
        let took_ns = self.took_ns(&job, failure, now_ns);
        let job = if self.target.requests.are_steps { self.sessions.end(job) } else { job };
        let latency_us = micros(took_ns);
        let (good, lost, is_unmatched) = (0, 0, false);
        let mut record =
            Record { job, latency_us, first_byte_us, tokens, failure, is_stuck, traits, good, lost, is_unmatched };
        record.meets(&self.target.goodput);
        if let Some(oracle) = &self.target.oracle {
            let (_, request, data) = self.target.requests.of(job.number);
            let body = request.body(&data);
            match failure {
                Some(_) => record.lost = oracle.lost(&body, record.tokens.as_ref().map_or(0, |it| it.count())),
                None => record.is_unmatched = !oracle.knows(&body),
            }
        }
        state.batch.records.push(record);
        state.open -= 1;
        if !self.is_open && now_ns < state.stop_ns {
            match state.starter.ended(now_ns, failure) {
                Some(due_ns) => self.issue(state, due_ns),
                // It may be due before all others.
                None => self.control.wake(),
            }
        }
        self.show(state);
    }

    /// Counts the end of a request by its name, and in the parts of the load. An iteration has a request for each of its
    /// steps.
    fn count_request(&self, state: &mut LaneState, ended: &Ended, failure: Option<Failure>, now_ns: u64) {
        let job = &ended.job;
        if self.target.requests.have_names() {
            self.gauges.count(self.target.requests.place(job), failure.is_some());
        }
        if self.parts.is_empty() {
            return;
        }
        let took_ns = self.took_ns(job, failure, now_ns);
        // Its latency has no time of tunnels, neither before its step nor within.
        let latency_us = micros((job.due_ns + took_ns).saturating_sub(self.sessions.due_ns(job)));
        let (due_ns, end_ns) = (self.sessions.queued_ns(job), job.begun_ns() + took_ns);
        let is_answered = ended.first_byte_us.is_some() || failure.is_none();
        let group = self.parts.group(ended.group, is_answered);
        for part in [self.parts.step(job.step), group].into_iter().flatten() {
            state.batch.parts.push(PartRecord { due_ns, end_ns, part, latency_us, failure });
        }
    }

    /// The part of answers that name this group.
    pub(crate) fn group(&self, name: &[u8]) -> Option<u16> {
        self.parts.named(name, |part| self.state.borrow_mut().batch.labels.push(part))
    }

    /// A step succeeded, and its user sends the next one.
    fn next_step(&self, state: &mut LaneState, ended: &Ended, now_ns: u64) {
        self.count_request(state, ended, None, now_ns);
        let due_ns = ended.job.due_ns + self.took_ns(&ended.job, None, now_ns);
        let job = self.sessions.next(&ended.job, due_ns, now_ns);
        // It was due before those that wait for their first step.
        let at = state.waiting.partition_point(|waiting| waiting.due_ns <= job.due_ns);
        state.waiting.insert(at, job);
    }

    /// Records a connection that was made.
    pub(crate) fn made(&self, begun: Instant, connect: Duration, tls: Option<Duration>) {
        let at_ns = nanoseconds(begun.saturating_duration_since(self.zero));
        let micros = |took: Duration| micros(nanoseconds(took));
        self.state.borrow_mut().batch.made.push(NewConnection {
            at_ns,
            connect_us: micros(connect),
            tls_us: tls.map(micros),
        });
    }

    /// The connection begins to send its request.
    pub(crate) fn sending(&self, connection: &Connection) {
        if let Some(mut job) = connection.job.get() {
            let now_ns = self.now_ns();
            job.end_lateness(now_ns);
            job.sent_us = Some(micros(now_ns.saturating_sub(job.begun_ns())));
            connection.job.set(Some(job));
            if let Some((_, place)) = connection.address.get()
                && let Some(reached) = self.state.borrow_mut().batch.reached.get_mut(place)
            {
                reached.requests += 1;
            }
        }
    }

    /// The head of the answer arrived.
    pub(crate) fn answering(&self, connection: &Connection) {
        connection.head_ns.set(self.arrived_ns(connection));
    }

    /// Records the `Date` header of an answer whose head has just arrived, at most once a second.
    pub(crate) fn dated(&self, date: &[u8]) {
        let at_ns = self.now_ns();
        let mut state = self.state.borrow_mut();
        if at_ns < state.next_date_ns {
            return;
        }
        let Some(date) = std::str::from_utf8(date).ok().and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else {
            return;
        };
        state.next_date_ns = at_ns + 1_000_000_000;
        let ahead_s = date.timestamp().duration_since(jiff::Timestamp::now()).as_secs_f64();
        state.batch.dates.push(DateSample { at_ns, ahead_s });
    }

    /// `pieces` chunks with tokens have arrived so far, and the server counts `counted` tokens.
    pub(crate) fn tokens(&self, connection: &Connection, pieces: u64, counted: Option<u64>) {
        if let Some(job) = connection.job.get()
            && (pieces > 0 || counted.is_some())
        {
            let due_ns = job.due_ns;
            let mut tokens = connection.tokens.borrow_mut();
            let gaps = &mut self.state.borrow_mut().batch.gaps;
            tokens.get_or_insert_default().see(
                job.begun_ns(),
                self.arrived_ns(connection),
                pieces,
                counted,
                |gap_us, count| {
                    gaps.push(Gap { due_ns, gap_us, count: u32::try_from(count).unwrap_or(u32::MAX) });
                },
            );
        }
    }

    /// Compares what an answer's choices say with those of the reference phase.
    ///
    /// # Errors
    /// The difference in words.
    pub(crate) fn compare(&self, job: &Job, said: Vec<Said>, tokens: u64) -> Result<(), String> {
        let Some(oracle) = &self.target.oracle else { return Ok(()) };
        let marks = self.marks.all();
        let due = marks.iter().rev().find(|mark| mark.at_ns <= job.due_ns).map_or(0, |mark| mark.phase);
        // A fault that struck while the request was under way may have changed the answer. It counts for that phase and
        // cannot be a reference.
        let (_, struck) = segment_key(&marks, &self.marks.strikes(), job.due_ns, self.now_ns());
        let phase = struck.unwrap_or(due);
        let (_, request, data) = self.target.requests.of(job.number);
        oracle.compare(request.body(&data), phase, said, tokens)
    }

    /// Records deviations of an answer from the API.
    pub(crate) fn peculiar(&self, odd: Peculiarities) {
        if odd != Peculiarities::default() {
            self.gauges.note(odd);
        }
    }

    /// The request did not end within its observation timeout.
    pub(crate) fn gave_up(self: &Rc<Self>, connection: &Connection) {
        self.ended(connection, Some(self.timed_out(connection)), true);
    }

    /// The request ended. Returns its sample if it is the first failure of its kind.
    pub(crate) fn answered(
        self: &Rc<Self>,
        connection: &Connection,
        failed: Option<Failed>,
    ) -> Option<(Failure, Sample)> {
        self.ended(connection, failed, false)
    }

    /// The failure of a request that did not end, with its progress.
    fn timed_out(&self, connection: &Connection) -> Failed {
        let is_sent = connection.job().is_some_and(|job| job.sent_us.is_some());
        Failed::new(Failure::Timeout, connection.excerpt.borrow().progress(is_sent))
    }

    /// A timeout of a request that had waited for its turn for a large part of the timeout is not the service's alone.
    pub(super) fn after_wait(&self, job: &Job, failed: Failed) -> Failed {
        if failed.kind != Failure::Timeout {
            return failed;
        }
        let waited_us = self.sessions.iteration(*job).turn_us().unwrap_or_default();
        let waited = Duration::from_micros(waited_us.into());
        let timeout = Duration::from_nanos(self.timeout_ns);
        if waited * WAITED < timeout {
            return failed;
        }
        let left = timeout.saturating_sub(waited);
        let limit = if self.is_open { "`max_in_flight`" } else { "a connection of its worker" };
        let cause = format!(
            "the request waited {} ms for {limit} and had {} ms left when it was sent: {}",
            waited.as_millis(),
            left.as_millis(),
            failed.cause
        );
        Failed::new(Failure::TimeoutAfterWait, cause)
    }

    fn ended(
        self: &Rc<Self>,
        connection: &Connection,
        failed: Option<Failed>,
        is_stuck: bool,
    ) -> Option<(Failure, Sample)> {
        let now_ns = self.arrived_ns(connection);
        // An answer whose last byte is read after the timeout is too late, even if the timer has not fired yet.
        let is_over = connection.job().is_some_and(|job| self.is_over(&job, now_ns));
        let failed = match failed {
            Some(failed) if is_over && failed.kind != Failure::Timeout => {
                Some(Failed::new(Failure::Timeout, format!("after the timeout: {} {}", failed.kind, failed.cause)))
            }
            None if is_over => Some(Failed::new(Failure::Timeout, "the answer was whole only after the timeout")),
            failed => failed,
        };
        let ended = connection.take()?;
        let failed = failed.map(|failed| self.after_wait(&ended.job, failed));
        let mut state = self.state.borrow_mut();
        if failed.is_none() && self.target.requests.has_next(&ended.job) {
            self.next_step(&mut state, &ended, now_ns);
            return None;
        }
        let sample = failed.as_ref().and_then(|failed| {
            let end_ns = ended.job.begun_ns() + self.took_ns(&ended.job, Some(failed.kind), now_ns);
            let place = state.unseen(ended.job.due_ns, end_ns, failed.kind)?;
            state.sampled.insert((place, failed.kind));
            let said = connection.excerpt.borrow().sample(&ended.job, end_ns, self.request_name(&ended.job), failed);
            if self.target.requests.are_steps {
                let hides_body = self.hides_answer(&ended.job, &said);
                connection.secrets.set(Some((self.sessions.values(&ended.job), hides_body)));
            }
            state.batch.samples.push((failed.kind, self.shown(&ended.job, unpacked(said.clone()))));
            Some((failed.kind, self.shown(&ended.job, said)))
        });
        let failure = failed.map(|failed| failed.kind);
        self.end(&mut state, Ended { is_stuck, ..ended }, failure, now_ns);
        if state.batch.records.len() >= BATCH {
            let LaneState { batch, issued, .. } = &mut *state;
            self.ledger.take(batch, *issued, now_ns);
        }
        sample
    }
}
