/* Credentials, and the values that they go into. What they hold is in no complaint. */

#include "daemon/config_secret.h"

#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/text.h"

#define SECRET_NAME_MAX 128
#define OPEN            "${secret."

static const char name_bytes[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

int config_secret_read(const char *name, char **ret_text, struct diag *diag) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        size_t size, n;
        int r;

        if (!dir)
                return -ENOENT;
        if (asprintf(&path, "%s/%s", dir, name) < 0)
                return -ENOMEM;
        r = fs_read_text(AT_FDCWD, path, CONFIG_SECRET_MAX, &text, &size);
        if (r == -ENOENT)
                return r;
        if (r < 0 || strlen(text) != size)
                (void) snprintf(diag->path, sizeof(diag->path), "%s", path);
        if (r < 0)
                return r;
        if (strlen(text) != size) {
                diag_set(diag, 0, 0, "it has a NUL in it");
                return -EINVAL;
        }
        n = size;
        if (n > 0 && text[n - 1] == '\n')
                n--;
        if (n > 0 && n < size && text[n - 1] == '\r')
                n--;
        text[n] = '\0';
        *ret_text = TAKE_PTR(text);
        return 0;
}

/* The secret named at @text, right behind OPEN; appended to @value. */
static int append_secret(const char *key, const char *name, struct buf *value, struct diag *diag) {
        struct diag own = {};
        _cleanup_(freep) char *secret = NULL;
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        int r;

        r = config_secret_read(name, &secret, &own);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                return buf_append_str(value, secret);
        if (!dir) {
                diag_set(diag, diag->line, diag->column,
                                "%s wants the secret '%s', but there are no credentials: CREDENTIALS_DIRECTORY is not set (LoadCredential=%s:PATH in the unit gives one)",
                                key, name, name);
        } else if (r == -ENOENT) {
                diag_set(diag, diag->line, diag->column,
                                "%s wants the secret '%s', but there is no such credential in %s",
                                key, name, dir);
        } else {
                diag_set(diag, diag->line, diag->column,
                                "%s wants the secret '%s', but %s cannot be used: %s", key, name,
                                own.path,
                                own.text[0]                   ? own.text
                                                : r == -EFBIG ? "it has more than 4096 bytes"
                                                              : strerrordesc_np(-r));
        }
        return -EINVAL;
}

/* "${secret.NAME}" at *@text, which moves behind it. */
static int take_secret(const char *key, const char **text, struct buf *value, struct diag *diag) {
        const char *name = *text + strlen(OPEN);
        char copy[SECRET_NAME_MAX + 1];
        size_t n;

        n = text_starts_with(*text, OPEN) ? strspn(name, name_bytes) : 0;
        if (n == 0 || n > SECRET_NAME_MAX || name[n] != '}' || name[0] == '.') {
                diag_set(diag, diag->line, diag->column,
                                "%s has '%.*s': only ${secret.NAME} is filled in, NAME being letters, digits, '.', '_' and '-'; write $${ for ${",
                                key, (int) strcspn(*text, "} ") + 1, *text);
                return -EINVAL;
        }
        memcpy(copy, name, n);
        copy[n] = '\0';
        *text = name + n + 1;
        return append_secret(key, copy, value, diag);
}

int config_secret_expand(const char *key, const char *text, char **ret_value, bool *ret_secret,
                struct diag *diag) {
        _cleanup_(buf_done) struct buf value = BUF_INIT(CONFIG_VALUE_MAX);
        bool secret = false;
        int r = 0;

        if (!strstr(text, "${")) {
                *ret_secret = false;
                *ret_value = strdup(text);
                return *ret_value ? 0 : -ENOMEM;
        }
        while (r >= 0 && *text) {
                if (text_starts_with(text, "$${")) {
                        r = buf_append_str(&value, "${");
                        text += 3;
                } else if (text_starts_with(text, "${")) {
                        secret = true;
                        r = take_secret(key, &text, &value, diag);
                } else {
                        r = buf_append(&value, text++, 1);
                }
        }
        if (r == -ENOSPC) {
                diag_set(diag, diag->line, diag->column, "%s would have more than %d bytes", key,
                                CONFIG_VALUE_MAX);
                return -EINVAL;
        }
        if (r < 0)
                return r;
        *ret_secret = secret;
        *ret_value = value.size ? buf_take(&value) : strdup("");
        return *ret_value ? 0 : -ENOMEM;
}
