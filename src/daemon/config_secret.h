#pragma once
/* ${secret.NAME} in a value stands for systemd's credential of that name
 * ($CREDENTIALS_DIRECTORY/NAME), without the line's end behind it. "$${" stands for "${"; any other
 * dollar sign for itself. Nothing else is filled in. */

#include "base/diag.h"

#define CONFIG_SECRET_MAX 4096  /* bytes of one */
#define CONFIG_VALUE_MAX  16384 /* bytes of a value with secrets in it */

/**
 * Fill the secrets into @text, a value of @key.
 *
 * @ret_value:  caller frees
 * @ret_secret: whether there was one: then the value must not be shown to anybody
 *
 * Return: 0; -EINVAL with @diag->text; -ENOMEM.
 */
int config_secret_expand(const char *key, const char *text, char **ret_value, bool *ret_secret,
                struct diag *diag);

/** Read the credential @name. Return: 0; -ENOENT there is none of that name, or there are none at
 * all; -EINVAL with @diag->text, -EFBIG, or an errno of reading, with the file in @diag->path;
 * -ENOMEM. Caller frees. */
int config_secret_read(const char *name, char **ret_text, struct diag *diag);
