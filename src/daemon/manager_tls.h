#pragma once
/* Certificates: made at the first start, renewed before they end, read anew when their files
 * change. */

#include "base/diag.h"
#include "base/macro.h"

struct config;
struct http_config;
struct manager;
struct manager_tls;

/** What @config asks for. @make: certificates, where there are none or they are old; else what
 * there is has to do for now: the disk of the state hangs. Return: 0; negative errno with
 * @diag->text. */
int manager_tls_stage(const struct config *config, bool make, struct diag *diag,
                struct manager_tls **ret_tls);
/** Whether the files that @config names can be used; nothing is made. Return: as above. */
int manager_tls_check(const struct config *config, struct diag *diag);
struct manager_tls *manager_tls_free(struct manager_tls *tls);
DEFINE_FREEP(struct manager_tls, manager_tls_free);
/** In place of what there was; takes @tls. */
void manager_tls_commit(struct manager *manager, struct manager_tls *tls);
/** Look after the files from now on. Return: 0; negative errno, logged. */
int manager_tls_start(struct manager *manager);
void manager_tls_stop(struct manager *manager);
/** What of @tls a server's configuration has; borrowed. */
void manager_tls_give(const struct manager_tls *tls, struct http_config *http);
