//! The clock that paces requests. Tokio's timer has steps of 1 ms, which would add 1 ms to the median latency and release
//! requests in bursts. This clock is exact to some tens of microseconds.
//!
//! On Linux it is a timer file that wakes the runtime's own poll, so a tick costs one system call and no extra thread. On
//! other systems it is a thread that sleeps and then wakes the runtime.

use tokio::time::Instant;

/// Wakes the pacer. The time itself is tokio's everywhere in this crate, so that tests can pause it.
pub(super) trait Timer {
    /// Waits until `at`. May return early; the caller checks the time again.
    async fn until(&mut self, at: Instant);

    /// The same, but nothing else wakes the thread before: no answer, and no other thread. Where this is not possible, it waits
    /// as usual.
    async fn nap(&mut self, at: Instant) {
        self.until(at).await;
    }
}

impl Timer for Clock {
    async fn until(&mut self, at: Instant) {
        Clock::until(self, at.into_std()).await;
    }

    #[cfg(target_os = "linux")]
    async fn nap(&mut self, at: Instant) {
        Clock::nap(at.into_std());
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::Clock;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::Clock;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// Wakes its task at a given instant.
    #[derive(Debug)]
    pub(crate) struct Clock {
        timer: AsyncFd<OwnedFd>,
    }

    impl Clock {
        /// A clock for the current runtime.
        ///
        /// # Errors
        /// When the process has no file descriptor left.
        pub(crate) fn new() -> io::Result<Self> {
            // The kernel delays a sleep by up to 50 µs to merge it with others (PR_SET_TIMERSLACK, prctl(2)). A nap is then less
            // exact, so a failure is not an error.
            _ = nix::sys::prctl::set_timerslack(1);
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // SAFETY: the `AsyncFd` owns the descriptor, an `OwnedFd` always returns the same one, and nothing else closes
            // it.
            #[expect(unsafe_code, reason = "tokio offers no safe way to wait for a descriptor of one's own")]
            let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
            Ok(Self { timer })
        }

        /// Blocks the thread until `at`.
        pub(crate) fn nap(at: Instant) {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
        }

        /// Waits until `at`. Returns early only on an error; the caller checks the time again.
        pub(crate) async fn until(&mut self, at: Instant) {
            let wait = at.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                tokio::task::yield_now().await;
                return;
            }
            let spec = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() },
            };
            if timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec).is_err() {
                tokio::time::sleep(wait).await;
                return;
            }
            // Setting the timer clears it, so no read is needed; only tokio's readiness flag must be cleared.
            loop {
                match self.timer.readable().await {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => return tokio::time::sleep(at.saturating_duration_since(Instant::now())).await,
                }
                if Instant::now() >= at {
                    return;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::sync::{Arc, mpsc};
    use std::time::Instant;

    use tokio::sync::Notify;

    /// Wakes its task at a given instant.
    #[derive(Debug)]
    pub(crate) struct Clock {
        sleeps: mpsc::Sender<Instant>,
        woken: Arc<Notify>,
    }

    impl Clock {
        /// A clock with its own thread, which ends with the clock.
        ///
        /// # Errors
        /// When the process cannot start another thread.
        pub(crate) fn new() -> io::Result<Self> {
            let (sleeps, asked) = mpsc::channel::<Instant>();
            let woken = Arc::new(Notify::new());
            let wake = Arc::clone(&woken);
            std::thread::Builder::new().name("load-clock".to_owned()).spawn(move || {
                while let Ok(mut at) = asked.recv() {
                    // A newer deadline replaces the current one.
                    loop {
                        match asked.recv_timeout(at.saturating_duration_since(Instant::now())) {
                            Ok(newer) => at = newer,
                            Err(mpsc::RecvTimeoutError::Timeout) => break,
                            Err(mpsc::RecvTimeoutError::Disconnected) => return,
                        }
                    }
                    wake.notify_one();
                }
            })?;
            Ok(Self { sleeps, woken })
        }

        /// Waits until `at`. Returns early only on an error; the caller checks the time again.
        pub(crate) async fn until(&mut self, at: Instant) {
            if at <= Instant::now() || self.sleeps.send(at).is_err() {
                tokio::task::yield_now().await;
                return;
            }
            while Instant::now() < at {
                self.woken.notified().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Clock;

    #[tokio::test]
    async fn never_wakes_early_and_can_be_cancelled() {
        let mut clock = Clock::new().unwrap();
        for step in [0_u64, 50, 300, 1_500] {
            let at = Instant::now() + Duration::from_micros(step);
            clock.until(at).await;
            assert!(Instant::now() >= at);
            // The pacer drops the future when another event wakes it first.
            let far = clock.until(Instant::now() + Duration::from_secs(3600));
            tokio::select! { biased; () = far => panic!("an hour has not passed"), () = std::future::ready(()) => () }
        }
    }
}
