#pragma once
/* Reading small files of the kernel and of people. */

#include "base/macro.h"

/** Read a whole file of at most @max bytes relative to @dir_fd (AT_FDCWD allowed). Caller frees;
 * NUL-terminated. Return: 0; -EFBIG past @max; any errno of open or read. */
int fs_read_text(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size);

/** mkdir -p with @mode for the parts that are made. Return: 0; -ENOTDIR something else is in
 * the way; any errno of mkdir. */
int fs_make_dirs(const char *path, unsigned int mode);
