/* Reads an HTTP/1.1 answer and compares its body with the reference, byte for byte, as it comes (RFC 9112). */
#include "load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SIZE, EXTENSION, DATA, DATA_END, TRAILER };

void answer_begin(struct answer *a, const struct step *step) {
  a->step = step;
  a->header_used = 0;
  a->header_done = a->chunked = a->close_after = a->complete = false;
  a->length = -1;
  a->chunk_state = SIZE;
  a->chunk_left = a->chunk_digits = a->trailer_column = 0;
  a->got = 0;
}

static bool wrong(const struct answer *a, char *error, const char *what, long long is, long long wanted) {
  snprintf(error, ERROR_BYTES, "%s %.120s: %s (%lld, wanted %lld)", a->step->method, a->step->path, what, is, wanted);
  return false;
}

static bool has_token(const char *value, const char *end, const char *token) {
  size_t length = strlen(token);
  for (; value + length <= end; value++)
    if (strncasecmp(value, token, length) == 0) return true;
  return false;
}

/* `line` up to `end`, without CRLF. */
static bool take_field(struct answer *a, const char *line, const char *end, char *error) {
  const char *colon = memchr(line, ':', (size_t)(end - line));
  if (colon == NULL || colon == line) return wrong(a, error, "a header without a name", 0, 0);
  size_t name = (size_t)(colon - line);
  const char *value = colon + 1;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  if (name == 14 && strncasecmp(line, "content-length", 14) == 0) {
    char *rest;
    long long length = strtoll(value, &rest, 10);
    if (rest == value || length < 0 || (a->length >= 0 && a->length != length))
      return wrong(a, error, "a bad Content-Length", length, a->length);
    a->length = length;
  } else if (name == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
    if (!has_token(value, end, "chunked")) return wrong(a, error, "an unknown transfer coding", 0, 0);
    a->chunked = true;
  } else if (name == 10 && strncasecmp(line, "connection", 10) == 0) {
    if (has_token(value, end, "close")) a->close_after = true;
    else if (has_token(value, end, "keep-alive")) a->close_after = false;
  } else if (name == 16 && strncasecmp(line, "content-encoding", 16) == 0) {
    return wrong(a, error, "a content coding that nobody asked for", 0, 0);
  }
  return true;
}

/* The whole header is there; `end` is behind the empty line. */
static bool take_header(struct answer *a, const char *end, char *error) {
  const struct step *step = a->step;
  if (strncmp(a->header, "HTTP/1.", 7) != 0 || a->header[8] != ' ') return wrong(a, error, "not HTTP/1", 0, 0);
  a->close_after = a->header[7] == '0';
  int status = atoi(a->header + 9);
  const char *line = memchr(a->header, '\n', (size_t)(end - a->header)) + 1;
  for (; line < end - 2;) {
    const char *next = memchr(line, '\n', (size_t)(end - line)) + 1;
    if (!take_field(a, line, next - 2, error)) return false;
    line = next;
  }
  if (status != step->status) return wrong(a, error, "status", status, step->status);
  bool head = strcmp(step->method, "HEAD") == 0;
  if (step->bytes != NULL && a->length >= 0 && !a->chunked && (size_t)a->length != step->size)
    return wrong(a, error, "Content-Length", a->length, (long long)step->size);
  a->header_done = true;
  if (head || status == 204 || status == 304 || (!a->chunked && a->length == 0)) a->complete = true;
  if (a->complete && !head && step->bytes != NULL && step->size != 0)
    return wrong(a, error, "an empty body", 0, (long long)step->size);
  return true;
}

/* The reference repeats itself, so that it stays in the processor's cache; each byte of the answer is compared all the same. */
static bool same(const struct step *step, size_t offset, const uint8_t *bytes, size_t count) {
  size_t at = (step->first + offset) % step->period;
  while (count > 0) {
    size_t run = step->period - at < count ? step->period - at : count;
    if (memcmp(step->bytes + at, bytes, run) != 0) return false;
    bytes += run, count -= run, at = 0;
  }
  return true;
}

static bool take_body(struct answer *a, const uint8_t *bytes, size_t count, char *error) {
  const struct step *step = a->step;
  if (step->bytes != NULL) {
    if (count > step->size - a->got) return wrong(a, error, "too long", (long long)(a->got + count), (long long)step->size);
    if (!same(step, a->got, bytes, count))
      return wrong(a, error, "wrong bytes after offset", (long long)a->got, (long long)step->size);
  }
  a->got += count;
  return true;
}

static bool finish(struct answer *a, char *error) {
  if (a->step->bytes != NULL && a->got != a->step->size)
    return wrong(a, error, "too short", (long long)a->got, (long long)a->step->size);
  a->complete = true;
  return true;
}

/* One byte of what stands between chunks. */
static bool take_framing(struct answer *a, uint8_t byte, char *error) {
  switch (a->chunk_state) {
    case SIZE:
      if (isxdigit(byte) && ++a->chunk_digits <= 15) {
        a->chunk_left = a->chunk_left * 16 + (uint64_t)(isdigit(byte) ? byte - '0' : (byte | 32) - 'a' + 10);
        return true;
      }
      if (a->chunk_digits == 0 || a->chunk_digits > 15) return wrong(a, error, "a bad chunk size", byte, 0);
      a->chunk_state = EXTENSION;
      /* fall through */
    case EXTENSION:
      if (byte == '\n') {
        a->chunk_state = a->chunk_left == 0 ? TRAILER : DATA;
        a->chunk_digits = a->trailer_column = 0;
      }
      return true;
    case DATA_END:
      if (byte == '\n') a->chunk_state = SIZE;
      else if (byte != '\r') return wrong(a, error, "a chunk longer than it says", byte, '\r');
      return true;
    default: /* TRAILER: ends with an empty line */
      if (byte == '\n') {
        if (a->trailer_column == 0) return finish(a, error);
        a->trailer_column = 0;
      } else if (byte != '\r') {
        a->trailer_column++;
      }
      return true;
  }
}

static bool take_chunked(struct answer *a, const uint8_t *bytes, size_t count, char *error) {
  while (count > 0 && !a->complete) {
    if (a->chunk_state != DATA) {
      if (!take_framing(a, *bytes, error)) return false;
      bytes++, count--;
      continue;
    }
    size_t run = a->chunk_left < count ? (size_t)a->chunk_left : count;
    if (!take_body(a, bytes, run, error)) return false;
    bytes += run, count -= run, a->chunk_left -= run;
    if (a->chunk_left == 0) a->chunk_state = DATA_END;
  }
  return count == 0 || wrong(a, error, "bytes behind the answer", (long long)count, 0);
}

bool answer_take(struct answer *a, const uint8_t *bytes, size_t count, char *error) {
  if (!a->header_done) {
    size_t before = a->header_used, room = sizeof a->header - 1 - before, part = count < room ? count : room;
    memcpy(a->header + before, bytes, part);
    a->header_used += part;
    a->header[a->header_used] = 0;
    char *end = memmem(a->header, a->header_used, "\r\n\r\n", 4);
    if (end == NULL) return a->header_used < sizeof a->header - 1 || wrong(a, error, "too long a header", 0, 0);
    if (!take_header(a, end + 4, error)) return false;
    size_t used = (size_t)(end + 4 - a->header) - before;
    bytes += used, count -= used;
  }
  if (count == 0) return true;
  if (a->complete) return wrong(a, error, "bytes behind the answer", (long long)count, 0);
  if (a->chunked) return take_chunked(a, bytes, count, error);
  if (a->length >= 0 && a->got + count > (size_t)a->length)
    return wrong(a, error, "bytes behind the answer", (long long)(a->got + count), a->length);
  if (!take_body(a, bytes, count, error)) return false;
  return a->length < 0 || a->got < (size_t)a->length || finish(a, error);
}

bool answer_end(struct answer *a, char *error) {
  if (a->complete) return true;
  if (a->header_done && !a->chunked && a->length < 0) return finish(a, error);
  return wrong(a, error, "the connection ended early", (long long)a->got, (long long)a->step->size);
}
