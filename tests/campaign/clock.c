/* A wall clock that is wrong, for one process: CAMPAIGN_CLOCK holds the seconds that it is ahead (negative: behind), its rate, and
   after how many seconds it is set back by an hour (0: never). Clocks that count from the process's start are left alone. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static double ahead, rate = 1, back_after;
static struct timespec begun;

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("CAMPAIGN_CLOCK");
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &begun);
  if (text) sscanf(text, "%lf %lf %lf", &ahead, &rate, &back_after);
}

int clock_gettime(clockid_t id, struct timespec *at) {
  int answer = (int)syscall(SYS_clock_gettime, id, at);
  if (answer != 0 || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return answer;
  double since = (double)(at->tv_sec - begun.tv_sec) + (double)(at->tv_nsec - begun.tv_nsec) / 1e9;
  double shown = ahead + since * rate;
  if (back_after > 0 && since >= back_after) shown -= 3600;
  long long nanoseconds = (long long)(shown * 1e9) + begun.tv_nsec;
  long long seconds = nanoseconds / 1000000000LL, rest = nanoseconds % 1000000000LL;
  if (rest < 0) { rest += 1000000000LL; seconds--; }
  at->tv_sec = begun.tv_sec + seconds;
  at->tv_nsec = rest;
  return 0;
}

int gettimeofday(struct timeval *at, void *zone) {
  struct timespec exact;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &exact);
  at->tv_sec = exact.tv_sec;
  at->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (at) *at = exact.tv_sec;
  return exact.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, at) == 0 ? base : 0;
}
