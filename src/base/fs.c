/* Small files, whole. */

#include "base/fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"

int fs_read_text(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(max);
        _cleanup_(fd_closep) int fd = -EBADF;
        char piece[4096];
        ssize_t n;
        int r;

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        r = buf_append(&buf, "", 0);
        while (r >= 0 && (n = read(fd, piece, sizeof(piece))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = buf_append(&buf, piece, (size_t) n);
        }
        if (r == -ENOSPC)
                return -EFBIG;
        if (r < 0)
                return r;

        if (ret_size)
                *ret_size = buf.size;
        *ret_text = buf_take(&buf);
        return 0;
}

/* A look first: mkdir() waits for a file system that is frozen, also where it has nothing to do. */
static int make_dir(const char *path, mode_t mode) {
        struct stat st;

        if (stat(path, &st) >= 0)
                return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
        if (mkdir(path, mode) >= 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        if (stat(path, &st) < 0) /* somebody was faster */
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fs_make_dirs(const char *path, unsigned int mode) {
        _cleanup_(freep) char *part = strdup(path);
        int r;

        if (!part)
                return -ENOMEM;
        if (!part[0])
                return -ENOENT;
        for (char *slash = part + 1;; slash++) {
                char was = *slash;

                if (was != '/' && was != '\0')
                        continue;
                *slash = '\0';
                r = make_dir(part, (mode_t) mode);
                if (r < 0)
                        return r;
                *slash = was;
                if (was == '\0')
                        return 0;
        }
}
