/* A record is its length, the length's check sum, the message (runtime/events.proto) and its check sum; sums are CRC-32C,
   rotated and shifted so that a sum of sums is no fixed point. */
#include "runtime/events.h"
#include "runtime/file.h"

#include "events.pb-c.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct EventFile {
  FILE *f;
  char path[4096];
};

enum { MAX_VALUES = 128 };

static uint32_t masked_crc(const uint8_t *p, size_t n) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put_le(uint8_t *p, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static Status write_event(EventFile *e, const Jepac__Event *event, Diags *d) {
  size_t n = jepac__event__get_packed_size(event);
  uint8_t head[12], tail[4], *data = xmalloc(n, "an event");
  jepac__event__pack(event, data);
  put_le(head, n, 8);
  put_le(head + 8, masked_crc(head, 8), 4);
  put_le(tail, masked_crc(data, n), 4);
  bool ok = fwrite(head, 1, 12, e->f) == 12 && fwrite(data, 1, n, e->f) == n &&
            fwrite(tail, 1, 4, e->f) == 4 && !fflush(e->f); /* so that who watches sees it */
  free(data);
  if (ok) return ST_OK;
  diag_error(d, NULL, "cannot write %s: %s", e->path, strerror(errno));
  return ST_FILE;
}

static bool has_events(const char *folder) {
  DIR *dir = opendir(folder);
  bool found = false;
  for (struct dirent *e; dir && (e = readdir(dir));) found |= !strncmp(e->d_name, "events.out.tfevents.", 20);
  if (dir) closedir(dir);
  return found;
}

EventFile *events_open(const char *folder, bool fresh, Diags *d) {
  char host[64] = "host";
  if (file_make_folder(folder, d)) return NULL;
  if (fresh && has_events(folder)) {
    diag_error(d, NULL, "%s already has event files: remove them or choose another folder", folder);
    return NULL;
  }
  EventFile *e = xcalloc(1, sizeof *e, NULL);
  gethostname(host, sizeof host - 1);
  snprintf(e->path, sizeof e->path, "%s/events.out.tfevents.%010lld.%s.%ld", folder, (long long)time(NULL),
           host, (long)getpid());
  Jepac__Event first = JEPAC__EVENT__INIT;
  first.wall_time = (double)time(NULL);
  first.file_version = (char[]){"brain.Event:2"};
  if (!(e->f = fopen(e->path, "wxe"))) {
    diag_error(d, NULL, "cannot write %s: %s", e->path, strerror(errno));
  } else if (!write_event(e, &first, d)) {
    return e;
  } else {
    fclose(e->f);
  }
  free(e);
  return NULL;
}

Status events_add(EventFile *e, double time, int64_t step, const Metric *m, int n, Diags *d) {
  Jepac__Summary__Value value[MAX_VALUES], *list[MAX_VALUES];
  Jepac__Summary summary = JEPAC__SUMMARY__INIT;
  Jepac__Event event = JEPAC__EVENT__INIT;
  for (int i = 0; i < n && summary.n_value < MAX_VALUES; i++) {
    if (!isfinite(m[i].value)) continue;
    Jepac__Summary__Value *v = list[summary.n_value] = &value[summary.n_value];
    summary.n_value++;
    jepac__summary__value__init(v);
    v->tag = (char *)(uintptr_t)m[i].name; /* protobuf-c has no const */
    v->has_simple_value = 1;
    v->simple_value = (float)m[i].value;
  }
  if (!summary.n_value) return ST_OK;
  summary.value = list;
  event.wall_time = time;
  event.has_step = 1;
  event.step = step;
  event.summary = &summary;
  return write_event(e, &event, d);
}

Status events_close(EventFile *e, Diags *d) {
  if (!e) return ST_OK;
  bool bad = fclose(e->f);
  if (bad) diag_error(d, NULL, "cannot write %s: %s", e->path, strerror(errno));
  free(e);
  return bad ? ST_FILE : ST_OK;
}
