#pragma once
/* Small things every file uses: cleanup attributes, ownership transfer, units. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of @type whose @member lies at @ptr. */
#define CONTAINER_OF(ptr, type, member) ((type *) (void *) ((char *) (ptr) -offsetof(type, member)))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Hand a pointer (or descriptor) over and leave nothing behind for the cleanup. */
#define TAKE_PTR(ptr)                       \
        ({                                  \
                __typeof__(ptr) _p = (ptr); \
                (ptr) = NULL;               \
                _p;                         \
        })
#define TAKE_FD(fd)             \
        ({                      \
                int _fd = (fd); \
                (fd) = -EBADF;  \
                _fd;            \
        })

/* For a type whose x_free() takes NULL and returns NULL: makes x_freep() for _cleanup_(). */
#define DEFINE_FREEP(type, func)               \
        static inline void func##p(type **p) { \
                if (*p)                        \
                        *p = func(*p);         \
        }                                      \
        _Static_assert(1, "takes a semicolon")

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline int fd_close(int fd) {
        if (fd >= 0)
                (void) close(fd);
        return -EBADF;
}

static inline void fd_closep(int *fd) {
        *fd = fd_close(*fd);
}

static inline void file_closep(FILE **file) {
        if (*file)
                (void) fclose(*file);
}
