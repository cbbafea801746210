/* The bench's load generator: shapes that its files share. */
#ifndef NOOST_BENCH_LOAD_H
#define NOOST_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ERROR_BYTES = 256, HEADER_BYTES = 16 * 1024, REQUEST_BYTES = 4096, MAX_HEADERS = 16 };

/* One request of the plan and what the answer has to be. */
struct step {
  char *method;
  char *path;
  char *range;          /* "first-last", or NULL */
  int status;
  const uint8_t *bytes; /* what the body has to be, mapped into memory: its first `period` bytes, over and over; NULL: any */
  size_t period;
  size_t first;         /* where in the reference the body begins */
  size_t size;          /* of the body */
  bool barrier;         /* not a request: all earlier ones have to be complete first */
};

struct plan {
  struct step *steps;
  size_t count;
};

/*
 * Reads METHOD, PATH, STATUS, REFERENCE FILE or "-" and optionally RANGE, tab separated; "=" is a barrier. A reference of
 * more than `period` bytes is the repetition of its first `period` (0: it does not repeat). Exits on errors.
 */
struct plan plan_read(const char *file, size_t period);

/* What one answer has shown so far. */
struct answer {
  const struct step *step;
  char header[HEADER_BYTES];
  size_t header_used;
  bool header_done;
  bool chunked;
  bool close_after;     /* Connection: close, or HTTP/1.0 without keep-alive */
  int64_t length;       /* Content-Length, -1 if there is none */
  int chunk_state;
  uint64_t chunk_left;
  size_t chunk_digits;
  size_t trailer_column;
  size_t got;           /* body bytes so far, each of them compared */
  bool complete;
};

void answer_begin(struct answer *a, const struct step *step);
/* Takes what was read. false: the answer is wrong, and `error` says how. */
bool answer_take(struct answer *a, const uint8_t *bytes, size_t count, char *error);
/* Takes the end of the connection. */
bool answer_end(struct answer *a, char *error);

/* Durations in nanoseconds. */
struct samples {
  uint64_t *values;
  size_t count, room;
  uint64_t dropped;     /* beyond the bound of memory */
};

void samples_add(struct samples *s, uint64_t value);
void samples_merge(struct samples *into, const struct samples *from);
/* Prints {"p50":…} in milliseconds; sorts the samples. */
void samples_print(struct samples *s);

enum order { EACH, SHARED, RANDOM };

struct options {
  const char *host, *plan_file;
  int port, clients, threads, slow;
  enum order order;
  uint64_t requests;    /* of each client (EACH, RANDOM), or rounds of the plan (SHARED) */
  double seconds;       /* no new request after that; 0: no limit */
  double deadline;      /* everything is over after that */
  double slow_rate;     /* bytes a second of each slow client */
  double wait;          /* seconds to wait for the first right answer, 0: do not */
  bool close, barrier;
  uint32_t seed;
  size_t period;        /* of the references, 0: they do not repeat */
  const char *headers[MAX_HEADERS];
  int header_count;
};

/* What one thread has seen. */
struct tally {
  uint64_t requests, bytes, slow_bytes, errors, slow_requests;
  uint64_t first_sent, last_sent, last_done; /* nanoseconds of the monotonic clock */
  char first_error[ERROR_BYTES];
  struct samples latency, first_byte;
};

/* Where all threads meet. */
struct shared {
  const struct options *options;
  const struct plan *plan;
  int fast_left;        /* clients that are not slow and not done */
  uint64_t started;
};

uint64_t now_ns(void);
/* Runs `count` clients from number `first` on, until they are done. */
void clients_run(struct shared *shared, int first, int count, struct tally *tally);
/* Returns when the clients of all threads are connected. */
void clients_gate(void);
/* Waits until the plan's first request is answered as planned; false after `seconds`. */
bool clients_wait(const struct options *options, const struct plan *plan, double seconds);

#endif
