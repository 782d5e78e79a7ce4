/* Event files of TensorBoard: curves of numbers. */
#ifndef JEPAC_RUNTIME_EVENTS_H
#define JEPAC_RUNTIME_EVENTS_H

#include "runtime/metrics.h"

typedef struct EventFile EventFile;

/* A file of its own in the folder, which is made; `fresh`: one that has event files already is refused. NULL after
   reporting. */
EventFile *events_open(const char *folder, bool fresh, Diags *d);
/* time: seconds since 1970. Values that are not finite are left out. */
Status events_add(EventFile *e, double time, int64_t step, const Metric *m, int n, Diags *d);
Status events_close(EventFile *e, Diags *d); /* NULL: nothing */

#endif
