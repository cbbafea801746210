/* Reads the plan, and maps what the answers have to be into memory. */
#include "load.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what, const char *which) {
  fprintf(stderr, "load: %s: %s\n", what, which);
  exit(2);
}

/* Populated beforehand, so that comparing never waits for the disk. */
static void map_reference(struct step *step, const char *file, size_t period) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) != 0) fail("cannot open the reference", file);
  step->size = (size_t)facts.st_size;
  step->bytes = (const uint8_t *)"";
  if (step->size > 0) {
    step->period = period > 0 && period < step->size ? period : step->size;
    void *bytes = mmap(NULL, step->period, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) fail("cannot map the reference", file);
    step->bytes = bytes;
  }
  close(fd);
}

static void narrow(struct step *step) {
  char *rest;
  size_t first = strtoull(step->range, &rest, 10);
  size_t last = *rest == '-' ? strtoull(rest + 1, NULL, 10) : 0;
  if (last < first || last >= step->size) fail("a bad range", step->range);
  step->first = first;
  step->size = last - first + 1;
}

/* A file that occurs twice is mapped once. */
static void find_reference(struct plan *plan, char **names, const char *file, size_t period) {
  struct step *step = &plan->steps[plan->count];
  for (size_t i = 0; i < plan->count; i++) {
    if (names[i] == NULL || strcmp(names[i], file) != 0 || plan->steps[i].range != NULL) continue;
    step->bytes = plan->steps[i].bytes;
    step->period = plan->steps[i].period;
    step->size = plan->steps[i].size;
    return;
  }
  map_reference(step, file, period);
}

static void read_step(struct plan *plan, char **names, char *line, size_t period) {
  struct step *step = &plan->steps[plan->count];
  memset(step, 0, sizeof *step);
  names[plan->count] = NULL;
  if (strcmp(line, "=") == 0) {
    step->barrier = true;
    plan->count++;
    return;
  }
  char *cursor = line;
  step->method = strsep(&cursor, "\t");
  step->path = strsep(&cursor, "\t");
  char *status = strsep(&cursor, "\t"), *file = strsep(&cursor, "\t");
  if (file == NULL) fail("a line needs method, path, status and reference", line);
  step->range = strsep(&cursor, "\t");
  step->status = atoi(status);
  if (strcmp(file, "-") != 0) {
    names[plan->count] = file;
    find_reference(plan, names, file, period);
    if (step->range != NULL) narrow(step);
  }
  plan->count++;
}

struct plan plan_read(const char *file, size_t period) {
  FILE *in = fopen(file, "r");
  if (in == NULL) fail("cannot open the plan", file);
  struct plan plan = {0};
  char **names = NULL, *line = NULL;
  size_t room = 0, line_room = 0;
  for (ssize_t length; (length = getline(&line, &line_room, in)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    if (line[0] == 0) continue;
    if (plan.count == room) {
      room = room * 2 + 16;
      plan.steps = realloc(plan.steps, room * sizeof *plan.steps);
      names = realloc(names, room * sizeof *names);
      if (plan.steps == NULL || names == NULL) fail("no memory", file);
    }
    read_step(&plan, names, strdup(line), period);
  }
  fclose(in);
  free(line);
  free(names);
  if (plan.count == 0) fail("an empty plan", file);
  return plan;
}
