/* Clients of one thread: connections, requests, slow readers. Level-triggered epoll, one read an event. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  READ_BYTES = 1024 * 1024, /* fewer, larger reads: with four clients a third less processor time than 256 KiB */
  SLOW_READ_BYTES = 64 * 1024, /* seldom: a slow client is elsewhere, and takes no processor here */
  SLOW_WINDOW_BYTES = 128 * 1024, /* a slow client's link would not hold megabytes either */
  PAUSE_MS = 2,
  MOST_ERRORS = 1000,
};
enum state { IDLE, READING, PAUSED, DONE };

struct client {
  int fd;
  enum state state;
  bool slow, reused;
  uint64_t served, sent_at, first_at, resume_at;
  uint32_t random;
  struct answer answer;
};

struct crew {
  struct shared *shared;
  struct tally *tally;
  struct client *clients;
  int count, active, paused, busy, epoll;
  uint64_t next_step; /* SHARED, which has one thread: position in plan × rounds */
  uint8_t *buffer;
};

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int open_connection(const struct options *options, bool slow) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
  if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1) return -1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, window = SLOW_WINDOW_BYTES;
  if (fd < 0) return -1;
  struct timeval patience = {.tv_sec = 10};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* connect() heeds it as well */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (slow) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

static bool send_request(const struct options *options, int fd, const struct step *step) {
  char text[REQUEST_BYTES];
  int used = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n", step->method, step->path, options->host, options->port);
  for (int i = 0; i < options->header_count && used < REQUEST_BYTES; i++)
    used += snprintf(text + used, sizeof text - (size_t)used, "%s\r\n", options->headers[i]);
  if (step->range != NULL && used < REQUEST_BYTES)
    used += snprintf(text + used, sizeof text - (size_t)used, "Range: bytes=%s\r\n", step->range);
  if (used < REQUEST_BYTES)
    used += snprintf(text + used, sizeof text - (size_t)used, "%s\r\n", options->close ? "Connection: close\r\n" : "");
  if (used >= REQUEST_BYTES) return false;
  return send(fd, text, (size_t)used, MSG_NOSIGNAL) == used;
}

static void hang_up(struct client *c) {
  if (c->fd >= 0) close(c->fd); /* leaves the epoll set with it */
  c->fd = -1;
  c->reused = false;
}

static bool connect_client(struct crew *crew, struct client *c) {
  c->fd = open_connection(crew->shared->options, c->slow);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  if (c->fd >= 0 && epoll_ctl(crew->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0) return true;
  hang_up(c);
  return false;
}

static void retire(struct crew *crew, struct client *c) {
  if (c->state == DONE) return;
  if (c->state == PAUSED) crew->paused--;
  c->state = DONE;
  hang_up(c);
  crew->active--;
  if (!c->slow) __atomic_sub_fetch(&crew->shared->fast_left, 1, __ATOMIC_RELAXED);
}

static void count_error(struct crew *crew, struct client *c, const char *error) {
  struct tally *tally = crew->tally;
  if (tally->errors++ == 0) snprintf(tally->first_error, ERROR_BYTES, "%s", error);
  hang_up(c);
}

/* The client's next request; NULL with *wait set: none just now. */
static const struct step *next_step(struct crew *crew, struct client *c, bool *wait) {
  struct shared *shared = crew->shared;
  const struct options *options = shared->options;
  const struct plan *plan = shared->plan;
  *wait = false;
  if (options->seconds > 0 && (double)(now_ns() - shared->started) > options->seconds * 1e9) return NULL;
  if (options->order != SHARED && c->served >= options->requests * plan->count && options->requests > 0) return NULL;
  if (options->order == EACH) return &plan->steps[c->served % plan->count];
  if (options->order == RANDOM) {
    c->random ^= c->random << 13, c->random ^= c->random >> 17, c->random ^= c->random << 5;
    return &plan->steps[c->random % plan->count];
  }
  while (crew->next_step < options->requests * plan->count) {
    const struct step *step = &plan->steps[crew->next_step % plan->count];
    if (!step->barrier) {
      crew->next_step++;
      return step;
    }
    *wait = crew->busy > 0;
    if (*wait) return NULL;
    crew->next_step++;
  }
  return NULL;
}

static void begin(struct crew *crew, struct client *c) {
  bool wait;
  const struct step *step = next_step(crew, c, &wait);
  if (step == NULL) {
    if (!wait) retire(crew, c);
    return;
  }
  answer_begin(&c->answer, step);
  c->sent_at = now_ns();
  c->first_at = 0;
  c->served++;
  struct tally *tally = crew->tally;
  if (tally->first_sent == 0) tally->first_sent = c->sent_at;
  if (c->served == 1) tally->last_sent = c->sent_at;
  /* A server may close an idle connection at any time: that is not an error, once. */
  const struct options *options = crew->shared->options;
  bool sent = c->fd >= 0 && send_request(options, c->fd, step);
  if (!sent && (c->fd < 0 || c->reused)) {
    hang_up(c);
    sent = connect_client(crew, c) && send_request(options, c->fd, step);
  }
  if (!sent) {
    count_error(crew, c, "cannot connect or send");
    if (tally->errors > MOST_ERRORS) retire(crew, c);
    return;
  }
  c->state = READING;
  crew->busy++;
}

static void finish(struct crew *crew, struct client *c) {
  struct tally *tally = crew->tally;
  uint64_t now = now_ns();
  tally->requests++;
  if (c->slow) tally->slow_requests++;
  else {
    samples_add(&tally->latency, now - c->sent_at);
    samples_add(&tally->first_byte, (c->first_at ? c->first_at : now) - c->sent_at);
    tally->last_done = now;
  }
  if (c->answer.close_after || crew->shared->options->close) hang_up(c);
  else c->reused = true;
}

static void conclude(struct crew *crew, struct client *c) {
  c->state = IDLE;
  crew->busy--;
  begin(crew, c);
}

/* A slow client that is ahead of its rate rests until it is not. */
static void pace(struct crew *crew, struct client *c) {
  double due = (double)c->answer.got / crew->shared->options->slow_rate * 1e9;
  c->resume_at = c->first_at + (uint64_t)due;
  if (c->first_at == 0 || c->resume_at <= now_ns()) return;
  struct epoll_event none = {.events = 0, .data.ptr = c};
  epoll_ctl(crew->epoll, EPOLL_CTL_MOD, c->fd, &none);
  c->state = PAUSED;
  crew->paused++;
}

static void on_readable(struct crew *crew, struct client *c) {
  char error[ERROR_BYTES] = "";
  ssize_t count = recv(c->fd, crew->buffer, c->slow ? SLOW_READ_BYTES : READ_BYTES, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (c->state == IDLE) { /* closed while nothing was asked of it, or words out of turn */
    if (count > 0) count_error(crew, c, "bytes before the request");
    hang_up(c);
    return;
  }
  size_t before = c->answer.got;
  bool right = count > 0 ? answer_take(&c->answer, crew->buffer, (size_t)count, error) : answer_end(&c->answer, error);
  size_t got = c->answer.got - before;
  crew->tally->bytes += got;
  if (c->slow) crew->tally->slow_bytes += got;
  if (c->first_at == 0 && (got > 0 || c->answer.complete)) c->first_at = now_ns();
  if (!right) {
    count_error(crew, c, error);
    if (crew->tally->errors > MOST_ERRORS) retire(crew, c);
    else conclude(crew, c);
    return;
  }
  if (count == 0) hang_up(c);
  if (!c->answer.complete) {
    if (c->slow) pace(crew, c);
    return;
  }
  finish(crew, c);
  conclude(crew, c);
}

static void resume_paused(struct crew *crew) {
  uint64_t now = now_ns();
  for (int i = 0; i < crew->count && crew->paused > 0; i++) {
    struct client *c = &crew->clients[i];
    if (c->state != PAUSED || c->resume_at > now) continue;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(crew->epoll, EPOLL_CTL_MOD, c->fd, &event);
    c->state = READING;
    crew->paused--;
  }
}

/* Those that wait at a barrier of the plan, and those whose connection could not be made. */
static void begin_idle(struct crew *crew) {
  for (int i = 0; i < crew->count; i++)
    if (crew->clients[i].state == IDLE) begin(crew, &crew->clients[i]);
}

static bool over(struct crew *crew) {
  struct shared *shared = crew->shared;
  const struct options *options = shared->options;
  if (crew->active == 0) return true;
  if (options->slow < options->clients && __atomic_load_n(&shared->fast_left, __ATOMIC_RELAXED) <= 0) return true;
  if ((double)(now_ns() - shared->started) < options->deadline * 1e9) return false;
  for (int i = 0; i < crew->count; i++)
    if (crew->clients[i].state != DONE) count_error(crew, &crew->clients[i], "not complete before the deadline");
  return true;
}

static struct crew assemble(struct shared *shared, int first, int count, struct tally *tally) {
  struct crew crew = {.shared = shared, .tally = tally, .count = count, .active = count};
  crew.epoll = epoll_create1(EPOLL_CLOEXEC);
  crew.clients = calloc((size_t)count, sizeof *crew.clients);
  crew.buffer = aligned_alloc(4096, READ_BYTES);
  if (crew.epoll < 0 || crew.clients == NULL || crew.buffer == NULL) abort();
  for (int i = 0; i < count; i++) {
    struct client *c = &crew.clients[i];
    c->fd = -1;
    c->slow = first + i < shared->options->slow;
    c->random = (shared->options->seed + (uint32_t)(first + i)) * 2654435761u | 1u;
  }
  return crew;
}

void clients_run(struct shared *shared, int first, int count, struct tally *tally) {
  struct crew crew = assemble(shared, first, count, tally);
  if (shared->options->barrier) {
    for (int i = 0; i < count; i++) connect_client(&crew, &crew.clients[i]);
    clients_gate();
  }
  struct epoll_event events[64];
  begin_idle(&crew);
  while (!over(&crew)) {
    int found = epoll_wait(crew.epoll, events, 64, crew.paused > 0 ? PAUSE_MS : 50);
    for (int i = 0; i < found; i++) {
      struct client *c = events[i].data.ptr;
      if (c->fd >= 0 && (c->state == READING || c->state == IDLE)) on_readable(&crew, c);
    }
    if (crew.paused > 0) resume_paused(&crew);
    begin_idle(&crew);
  }
  for (int i = 0; i < count; i++) hang_up(&crew.clients[i]);
  close(crew.epoll);
  free(crew.clients);
  free(crew.buffer);
}
