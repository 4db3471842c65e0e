#pragma once
/* What `virtwatch top` asks the daemon, without ever waiting for it: workloads and nodes each two
 * seconds, the rings of the workloads on the screen, events as a stream. Every transfer but the
 * stream has a deadline; a daemon that does not answer is tried again after 1, 2, 4, 8, then each
 * 10 seconds. */

#include <curl/curl.h>

#include "cli/cli.h"
#include "cli/top_model.h"

#define TOP_REFRESH_US (2 * USEC_PER_SEC)

struct top_net;

/** @cli, @query ("kind=vm&", may be "") and @model are borrowed. Return: 0; -ENOMEM. */
int top_net_new(const struct cli *cli, const char *query, struct top_model *model,
                struct top_net **ret_net);
struct top_net *top_net_free(struct top_net *net);
DEFINE_FREEP(struct top_net, top_net_free);

/** Go on with what is under way and start what is due. Return: whether the model may have changed.
 */
bool top_net_run(struct top_net *net, uint64_t now_us);
/** Sleep until something comes for a transfer or for @fds, something is due, or @until_us. */
void top_net_wait(struct top_net *net, struct curl_waitfd *fds, unsigned int n_fds, uint64_t now_us,
                uint64_t until_us);
