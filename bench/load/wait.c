/* Waits until a server answers one request as planned. */
#include "load.h"

#include <stdio.h>
#include <time.h>

enum { PAUSE_NS = 2 * 1000 * 1000 };

bool clients_wait(const struct options *options, const struct plan *plan, double seconds) {
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
  struct options once = *options;
  once.clients = 1, once.slow = 0, once.requests = 1, once.seconds = 0, once.order = EACH, once.barrier = false;
  struct plan first = {.steps = plan->steps, .count = 1};
  char last_error[ERROR_BYTES] = "";
  while (now_ns() < end) {
    struct shared shared = {.options = &once, .plan = &first, .fast_left = 1, .started = now_ns()};
    struct tally tally = {0};
    once.deadline = (double)(end - now_ns()) / 1e9;
    clients_run(&shared, 0, 1, &tally);
    if (tally.errors == 0 && tally.requests == 1) return true;
    snprintf(last_error, sizeof last_error, "%s", tally.first_error);
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    nanosleep(&pause, NULL);
  }
  fprintf(stderr, "load: no right answer in time: %s\n", last_error);
  return false;
}
