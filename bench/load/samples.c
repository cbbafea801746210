/* Durations and their percentiles. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SAMPLES = 8 * 1024 * 1024 }; /* 64 MB; what is beyond is counted as dropped */

void samples_add(struct samples *s, uint64_t value) {
  if (s->count == s->room) {
    size_t room = s->room * 2 + 1024;
    uint64_t *values = s->count < MOST_SAMPLES ? realloc(s->values, room * sizeof *values) : NULL;
    if (values == NULL) {
      s->dropped++;
      return;
    }
    s->values = values;
    s->room = room;
  }
  s->values[s->count++] = value;
}

void samples_merge(struct samples *into, const struct samples *from) {
  for (size_t i = 0; i < from->count; i++) samples_add(into, from->values[i]);
  into->dropped += from->dropped;
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The smallest value that at least this share of the samples does not exceed. */
static double at(const struct samples *s, double share) {
  if (s->count == 0) return 0;
  size_t rank = (size_t)(share * (double)s->count + 0.999999999);
  size_t index = rank == 0 ? 0 : rank - 1;
  return (double)s->values[index < s->count ? index : s->count - 1] / 1e6;
}

void samples_print(struct samples *s) {
  qsort(s->values, s->count, sizeof *s->values, compare);
  double sum = 0;
  for (size_t i = 0; i < s->count; i++) sum += (double)s->values[i] / 1e6;
  printf("{\"count\":%zu,\"dropped\":%llu,\"mean\":%.6f,\"min\":%.6f,\"p50\":%.6f,\"p90\":%.6f,\"p99\":%.6f,\"p999\":%.6f,\"max\":%.6f}",
         s->count, (unsigned long long)s->dropped, s->count ? sum / (double)s->count : 0, at(s, 0), at(s, 0.5), at(s, 0.9),
         at(s, 0.99), at(s, 0.999), at(s, 1));
}
