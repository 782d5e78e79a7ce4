#include "cli/rpc.h"

#include "ir/memory.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE = 4096, MOST_BYTES = 64 << 20, PARSE_ERROR = -32700 };

void rpc_send(FILE *out, json_t *message) {
  char *text = json_dumps(message, JSON_COMPACT);
  fprintf(out, "Content-Length: %zu\r\n\r\n%s", strlen(text), text);
  fflush(out);
  free(text);
  json_decref(message);
}

void rpc_result(FILE *out, json_t *id, json_t *result) {
  rpc_send(out, json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", result));
}

void rpc_error(FILE *out, json_t *id, int code, const char *text) {
  json_t *who = id ? json_incref(id) : json_null();
  rpc_send(out, json_pack("{s:s, s:o, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", who, "error", "code", code,
                          "message", text));
}

void rpc_notify(FILE *out, const char *method, json_t *params) {
  rpc_send(out, json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params));
}

/* The headers of a message: its length, 0 at the end of the input, -1 when they are none. */
static long read_headers(FILE *in) {
  char line[LINE];
  long length = -1;
  bool any = false;
  while (fgets(line, sizeof line, in)) {
    if (!strcmp(line, "\r\n") || !strcmp(line, "\n")) {
      if (any) return length;
      continue;
    }
    if (!strchr(line, '\n') || !strchr(line, ':')) return -1;
    any = true;
    if (strncasecmp(line, "content-length:", 15)) continue;
    char *end;
    length = strtol(line + 15, &end, 10);
    if (end == line + 15 || length < 1 || length > MOST_BYTES) return -1;
  }
  return any ? -1 : 0;
}

RpcStatus rpc_read(FILE *in, FILE *out, json_t **message, const char **why) {
  for (;;) {
    long n = read_headers(in);
    if (n == 0) return RPC_END;
    *why = "its input is no stream of messages with a header Content-Length, as an editor sends them";
    if (n < 0) return RPC_BROKEN;
    char *text = xmalloc((size_t)n, "a message");
    bool whole = fread(text, 1, (size_t)n, in) == (size_t)n;
    json_error_t e;
    *message = whole ? json_loadb(text, (size_t)n, 0, &e) : NULL;
    free(text);
    *why = "its input ends inside a message";
    if (!whole) return RPC_BROKEN;
    if (json_is_object(*message)) return RPC_MESSAGE;
    json_decref(*message);
    rpc_error(out, NULL, PARSE_ERROR, "the message is no JSON object");
  }
}
