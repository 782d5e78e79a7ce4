/* A program that uses libjepac for all it offers: whatever fails, the library returns. Ends with 0, or with the status
   and one message where memory runs out. */
#include "include/jepac.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(jepac_model *m, int status) {
  fprintf(stderr, "%s", jepac_message(m));
  jepac_model_free(m);
  fprintf(stderr, "host: still here\n");
  return status;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const char *set[] = {"B=4", NULL};
  jepac_options o = {.set = set, .threads = 2, .cache_dir = getenv("JEPAC_CACHE")};
  jepac_model *m = jepac_load_file(argv[1], &o);
  if (jepac_load_status(m)) return failed(m, jepac_load_status(m));
  jepac_session *s = jepac_compile(m, "train_step", 0), *t = s ? jepac_compile(m, NULL, 0) : NULL;
  int status = 0;
  if (!t) {
    status = failed(m, JEPAC_BUDGET);
    return status;
  }
  jepac_init(s, 7);
  for (int i = 0; i < 2 && !status; i++) status = jepac_run(s);
  if (!status) status = jepac_save(s, argv[2]);
  if (!status) status = jepac_load(t, argv[2]);
  if (!status) status = jepac_run(t);
  jepac_tensor loss;
  if (!status && jepac_find(t, "loss", &loss)) printf("loss %.6g\n", (double)*(float *)loss.data);
  jepac_session_free(s);
  jepac_session_free(t);
  if (status) return failed(m, status);
  jepac_model_free(m);
  return 0;
}
