/*
 * load: asks an HTTP/1.1 server for what a plan says, from many clients, and compares every byte of every answer with a
 * file in memory. Prints one JSON object. Exit status 0 also with errors in the answers: they are in the object.
 */
#include "load.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MOST_THREADS = 64 };

struct worker {
  pthread_t thread;
  struct shared *shared;
  int first, count;
  struct tally tally;
};

static pthread_barrier_t gate;

void clients_gate(void) { pthread_barrier_wait(&gate); }

static const struct option NAMES[] = {
    {"host", required_argument, NULL, 'h'},      {"port", required_argument, NULL, 'p'},
    {"plan", required_argument, NULL, 'f'},      {"clients", required_argument, NULL, 'c'},
    {"threads", required_argument, NULL, 't'},   {"order", required_argument, NULL, 'o'},
    {"requests", required_argument, NULL, 'n'},  {"seconds", required_argument, NULL, 's'},
    {"deadline", required_argument, NULL, 'd'},  {"slow", required_argument, NULL, 'w'},
    {"slow-rate", required_argument, NULL, 'r'}, {"header", required_argument, NULL, 'H'},
    {"seed", required_argument, NULL, 'e'},      {"wait", required_argument, NULL, 'W'},
    {"period", required_argument, NULL, 'P'},
    {"close", no_argument, NULL, 'C'},           {"barrier", no_argument, NULL, 'B'},
    {NULL, 0, NULL, 0},
};

static void usage(const char *what) {
  fprintf(stderr, "load: %s\nOptions: see NAMES in main.c\n", what);
  exit(2);
}

static enum order parse_order(const char *text) {
  if (strcmp(text, "each") == 0) return EACH;
  if (strcmp(text, "shared") == 0) return SHARED;
  if (strcmp(text, "random") == 0) return RANDOM;
  usage("--order is each, shared or random");
  return EACH;
}

static void take_option(struct options *options, int letter) {
  switch (letter) {
    case 'h': options->host = optarg; break;
    case 'p': options->port = atoi(optarg); break;
    case 'f': options->plan_file = optarg; break;
    case 'c': options->clients = atoi(optarg); break;
    case 't': options->threads = atoi(optarg); break;
    case 'o': options->order = parse_order(optarg); break;
    case 'n': options->requests = strtoull(optarg, NULL, 10); break;
    case 's': options->seconds = atof(optarg); break;
    case 'd': options->deadline = atof(optarg); break;
    case 'w': options->slow = atoi(optarg); break;
    case 'r': options->slow_rate = atof(optarg); break;
    case 'e': options->seed = (uint32_t)strtoul(optarg, NULL, 10); break;
    case 'W': options->wait = atof(optarg); break;
    case 'P': options->period = strtoull(optarg, NULL, 10); break;
    case 'C': options->close = true; break;
    case 'B': options->barrier = true; break;
    case 'H':
      if (options->header_count == MAX_HEADERS) usage("too many headers");
      options->headers[options->header_count++] = optarg;
      break;
    default: usage("unknown option");
  }
}

static struct options read_options(int argc, char **argv) {
  struct options options = {
      .host = "127.0.0.1", .clients = 1, .threads = 1, .requests = 1, .deadline = 120, .slow_rate = 1e6, .seed = 1};
  for (int letter; (letter = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) take_option(&options, letter);
  if (options.port <= 0 || options.plan_file == NULL) usage("--port and --plan are needed");
  if (options.clients < 1 || options.slow > options.clients || options.slow_rate <= 0) usage("impossible clients");
  if (options.order == SHARED) options.threads = 1; /* they share a queue without locks */
  if (options.threads > options.clients) options.threads = options.clients;
  if (options.threads < 1 || options.threads > MOST_THREADS) usage("--threads is 1 to 64");
  return options;
}

static void *work(void *argument) {
  struct worker *worker = argument;
  clients_run(worker->shared, worker->first, worker->count, &worker->tally);
  return NULL;
}

static void merge(struct tally *into, const struct tally *from) {
  into->requests += from->requests, into->bytes += from->bytes, into->errors += from->errors;
  into->slow_bytes += from->slow_bytes, into->slow_requests += from->slow_requests;
  if (into->first_sent == 0 || (from->first_sent && from->first_sent < into->first_sent)) into->first_sent = from->first_sent;
  if (from->last_sent > into->last_sent) into->last_sent = from->last_sent;
  if (from->last_done > into->last_done) into->last_done = from->last_done;
  if (into->first_error[0] == 0) memcpy(into->first_error, from->first_error, ERROR_BYTES);
  samples_merge(&into->latency, &from->latency);
  samples_merge(&into->first_byte, &from->first_byte);
}

static struct tally run(struct shared *shared) {
  static struct worker workers[MOST_THREADS];
  int threads = shared->options->threads, clients = shared->options->clients;
  pthread_barrier_init(&gate, NULL, (unsigned)threads);
  for (int i = 0; i < threads; i++) {
    int first = clients * i / threads;
    workers[i] = (struct worker){.shared = shared, .first = first, .count = clients * (i + 1) / threads - first};
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) usage("cannot start a thread");
  }
  struct tally all = {0};
  for (int i = 0; i < threads; i++) {
    pthread_join(workers[i].thread, NULL);
    merge(&all, &workers[i].tally);
  }
  return all;
}

static void print_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') printf("\\%c", *text);
    else if ((unsigned char)*text < 32 || (unsigned char)*text > 126) putchar('?');
    else putchar(*text);
  }
  putchar('"');
}

static void print(struct tally *all) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  double seconds = all->last_done > all->first_sent ? (double)(all->last_done - all->first_sent) / 1e9 : 0;
  printf("{\"requests\":%llu,\"bytes\":%llu,\"seconds\":%.9f,\"errors\":%llu,\"firstError\":", (unsigned long long)all->requests,
         (unsigned long long)all->bytes, seconds, (unsigned long long)all->errors);
  print_text(all->first_error);
  printf(",\"startSpreadMs\":%.3f,\"cpuSeconds\":%.6f,\"slowRequests\":%llu,\"slowBytes\":%llu,\"latencyMs\":",
         (double)(all->last_sent - all->first_sent) / 1e6, cpu, (unsigned long long)all->slow_requests,
         (unsigned long long)all->slow_bytes);
  samples_print(&all->latency);
  printf(",\"firstByteMs\":");
  samples_print(&all->first_byte);
  printf("}\n");
}

int main(int argc, char **argv) {
  struct options options = read_options(argc, argv);
  struct plan plan = plan_read(options.plan_file, options.period);
  if (options.wait > 0) return clients_wait(&options, &plan, options.wait) ? 0 : 1;
  struct shared shared = {
      .options = &options, .plan = &plan, .fast_left = options.clients - options.slow, .started = now_ns()};
  struct tally all = run(&shared);
  print(&all);
  return 0;
}
