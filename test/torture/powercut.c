/* A disk that remembers the order of things: preloaded into a program, it writes down each change
 * to files below POWERCUT_DIR, with the bytes, and each fsync, into the file POWERCUT_LOG. What a
 * power cut would have left of them is made from that record afterwards (powercut.py): what was
 * synced, and of the rest whatever the disk happened to have written.
 *
 * A change is recorded before a later sync of it can be, as both are done under one lock. Memory
 * maps are not followed: SQLite maps only its index of the log (-shm), which is made anew after a
 * crash. */

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4096

enum change {
        CREATE = 1,
        WRITE,
        TRUNCATE,
        SYNC,
        UNLINK,
        RENAME
};

/* As powercut.py reads it; the path and the data follow. */
struct record {
        uint32_t change, path_size, data_size, unused;
        uint64_t offset;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[DESCRIPTORS_MAX]; /* of the descriptors that are followed */
static int log_fd = -1;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

static void *next(const char *name) {
        void *found = dlsym(RTLD_NEXT, name);

        assert(found);
        return found;
}

static void resolve(void) {
        const char *path = getenv("POWERCUT_LOG");

        /* NOLINTBEGIN: dlsym() gives functions as pointers to data */
        *(void **) &real_open = next("open");
        *(void **) &real_openat = next("openat");
        *(void **) &real_close = next("close");
        *(void **) &real_write = next("write");
        *(void **) &real_pwrite = next("pwrite");
        *(void **) &real_ftruncate = next("ftruncate");
        *(void **) &real_fsync = next("fsync");
        *(void **) &real_fdatasync = next("fdatasync");
        *(void **) &real_unlink = next("unlink");
        *(void **) &real_rename = next("rename");
        /* NOLINTEND */
        if (path)
                log_fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* At the first call: constructors of other libraries open files before ours could have run. */
static void begin(void) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, resolve);
}

static bool is_followed(const char *path) {
        const char *folder = getenv("POWERCUT_DIR");
        size_t n = folder ? strlen(folder) : 0, size = strlen(path);

        if (log_fd < 0 || n == 0 || strncmp(path, folder, n) != 0)
                return false;
        return size < 4 || strcmp(path + size - 4, "-shm") != 0;
}

static void record(enum change change, const char *path, uint64_t offset, const void *data,
                size_t size) {
        struct record head = {
                .change = change,
                .path_size = (uint32_t) strlen(path),
                .data_size = (uint32_t) size,
                .offset = offset,
        };
        struct iovec parts[] = { { &head, sizeof(head) }, { (void *) path, head.path_size },
                { (void *) data, size } };
        size_t whole = sizeof(head) + head.path_size + size;
        ssize_t n = writev(log_fd, parts, 3);

        if (n < 0 || (size_t) n != whole)
                abort(); /* a record with a hole proves nothing */
}

static const char *path_of(int fd) {
        return fd >= 0 && fd < DESCRIPTORS_MAX ? paths[fd] : NULL;
}

static void follow(int fd, const char *path, bool is_new) {
        if (fd < 0 || fd >= DESCRIPTORS_MAX || !is_followed(path))
                return;
        pthread_mutex_lock(&lock);
        free(paths[fd]);
        paths[fd] = strdup(path);
        if (is_new)
                record(CREATE, path, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
}

static int open_and_follow(int folder, const char *path, int flags, mode_t mode) {
        struct stat st;
        bool is_new;
        int fd;

        begin();
        is_new = (flags & O_CREAT) && is_followed(path) && stat(path, &st) < 0;
        fd = real_openat(folder, path, flags, mode);

        follow(fd, path, is_new);
        if (fd >= 0 && (flags & O_TRUNC) && path_of(fd)) {
                pthread_mutex_lock(&lock);
                record(TRUNCATE, path, 0, NULL, 0);
                pthread_mutex_unlock(&lock);
        }
        return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
        return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(folder)                      \
        va_list arguments;                \
        mode_t mode;                      \
        va_start(arguments, flags);       \
        mode = mode_of(flags, arguments); \
        va_end(arguments);                \
        return open_and_follow(folder, path, flags, mode)

int open(const char *path, int flags, ...) {
        OPEN(AT_FDCWD);
}

int open64(const char *path, int flags, ...) {
        OPEN(AT_FDCWD);
}

int openat(int folder, const char *path, int flags, ...) {
        OPEN(folder);
}

int openat64(int folder, const char *path, int flags, ...) {
        OPEN(folder);
}

int close(int fd) {
        begin();
        pthread_mutex_lock(&lock);
        if (path_of(fd)) {
                free(paths[fd]);
                paths[fd] = NULL;
        }
        pthread_mutex_unlock(&lock);
        return real_close(fd);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
        ssize_t n;

        begin();
        if (!path_of(fd))
                return real_pwrite(fd, data, size, offset);
        pthread_mutex_lock(&lock);
        n = real_pwrite(fd, data, size, offset);
        if (n > 0)
                record(WRITE, paths[fd], (uint64_t) offset, data, (size_t) n);
        pthread_mutex_unlock(&lock);
        return n;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
        return pwrite(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size) {
        off_t offset;
        ssize_t n;

        begin();
        if (!path_of(fd))
                return real_write(fd, data, size);
        pthread_mutex_lock(&lock);
        offset = lseek(fd, 0, SEEK_CUR);
        n = real_write(fd, data, size);
        if (n > 0)
                record(WRITE, paths[fd], (uint64_t) offset, data, (size_t) n);
        pthread_mutex_unlock(&lock);
        return n;
}

int ftruncate(int fd, off_t size) {
        int r;

        begin();
        if (!path_of(fd))
                return real_ftruncate(fd, size);
        pthread_mutex_lock(&lock);
        r = real_ftruncate(fd, size);
        if (r >= 0)
                record(TRUNCATE, paths[fd], (uint64_t) size, NULL, 0);
        pthread_mutex_unlock(&lock);
        return r;
}

int ftruncate64(int fd, off_t size) {
        return ftruncate(fd, size);
}

/* POWERCUT_LIE: a disk that says it has written what it has not. The test must then find losses. */
static int sync_with(int (*real)(int), int fd) {
        int r;

        begin();
        if (!path_of(fd))
                return real(fd);
        pthread_mutex_lock(&lock);
        r = real(fd);
        if (r >= 0 && !getenv("POWERCUT_LIE"))
                record(SYNC, paths[fd], 0, NULL, 0);
        pthread_mutex_unlock(&lock);
        return r;
}

int fsync(int fd) {
        return sync_with(real_fsync, fd);
}

int fdatasync(int fd) {
        return sync_with(real_fdatasync, fd);
}

int unlink(const char *path) {
        int r;

        begin();
        if (!is_followed(path))
                return real_unlink(path);
        pthread_mutex_lock(&lock);
        r = real_unlink(path);
        if (r >= 0)
                record(UNLINK, path, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
        return r;
}

int rename(const char *from, const char *to) {
        int r;

        begin();
        if (!is_followed(from))
                return real_rename(from, to);
        pthread_mutex_lock(&lock);
        r = real_rename(from, to);
        if (r >= 0)
                record(RENAME, from, 0, to, strlen(to));
        pthread_mutex_unlock(&lock);
        return r;
}
