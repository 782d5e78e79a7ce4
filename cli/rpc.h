/* JSON-RPC messages with Content-Length headers, as the Language Server Protocol has them. */
#ifndef JEPAC_CLI_RPC_H
#define JEPAC_CLI_RPC_H

#include "ir/base.h"

#include <jansson.h>

typedef enum { RPC_MESSAGE, RPC_END, RPC_BROKEN } RpcStatus;
/* The next message. RPC_BROKEN: the input is no stream of messages, *why says so. A message that is no JSON is answered with
   an error and passed over. */
RpcStatus rpc_read(FILE *in, FILE *out, json_t **message, const char **why);
/* These take over the reference to what they send. */
void rpc_send(FILE *out, json_t *message);
void rpc_result(FILE *out, json_t *id, json_t *result);
void rpc_error(FILE *out, json_t *id, int code, const char *text);
void rpc_notify(FILE *out, const char *method, json_t *params);

#endif
