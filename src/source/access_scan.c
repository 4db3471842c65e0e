/* Which files there are, and which of them hold what. The files that belong to a configured path
 * lie beside it under names that rotation gives: PATH.1, PATH.2.gz, PATH-20260101.gz, and Caddy's
 * own STEM-2026-01-01T00-00-00.000.EXT.gz. A file that is new may hold what is known: renamed it
 * has the same inode, as a copy or compressed it has the same beginning. */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "source/access_log_internal.h"

#define ENTRIES_MAX 4096 /* files that belong to one path */
#define FORGET_US   (24 * 3600 * USEC_PER_SEC)

/* A file that belongs to a configured path. */
struct entry {
        char *path;
        struct stat st;
        bool live, gzip;
};

struct listing {
        char *folder;
        const char *name; /* of the live file, within the path */
        struct entry *entries;
        size_t n;
};

static bool ends_with(const char *text, size_t size, const char *end) {
        size_t n = strlen(end);

        return size >= n && memcmp(text + size - n, end, n) == 0;
}

/* "2026-01-01T00-00-00.000", where d stands for a digit. */
static bool is_caddy_time(const char *text, size_t size) {
        static const char shape[] = "dddd-dd-ddTdd-dd-dd.ddd";

        if (size != strlen(shape))
                return false;
        for (size_t i = 0; i < size; i++)
                if (shape[i] == 'd' ? !isdigit((unsigned char) text[i]) : text[i] != shape[i])
                        return false;
        return true;
}

/* Does the file @name belong to the live file @live? */
static bool belongs(const char *live, const char *name, bool *ret_gzip) {
        size_t n = strlen(live), size = strlen(name), stem;
        const char *dot = strrchr(live, '.'), *extension = dot && dot != live ? dot : "";

        *ret_gzip = ends_with(name, size, ".gz");
        if (strcmp(name, live) == 0)
                return true;
        if (*ret_gzip)
                size -= strlen(".gz");
        if (strncmp(name, live, n) == 0 && size >= n) {
                if (size == n)
                        return true;
                return (name[n] == '.' || name[n] == '-') && size > n + 1 &&
                                isdigit((unsigned char) name[n + 1]);
        }
        stem = n - strlen(extension);
        return size > stem + 1 + strlen(extension) && strncmp(name, live, stem) == 0 &&
                        name[stem] == '-' && ends_with(name, size, extension) &&
                        is_caddy_time(name + stem + 1, size - stem - 1 - strlen(extension));
}

static void listing_done(struct listing *listing) {
        for (size_t i = 0; i < listing->n; i++)
                free(listing->entries[i].path);
        free(listing->entries);
        free(listing->folder);
}

static int add_entry(struct listing *listing, int folder_fd, const char *name, bool gzip) {
        struct entry *entry = &listing->entries[listing->n];

        *entry = (struct entry){ .live = !gzip && strcmp(name, listing->name) == 0, .gzip = gzip };
        if (fstatat(folder_fd, name, &entry->st, 0) < 0 || !S_ISREG(entry->st.st_mode))
                return 0;
        if (asprintf(&entry->path, "%s/%s", listing->folder, name) < 0)
                return -ENOMEM;
        listing->n++;
        return 0;
}

/* Return: 0; an errno of opening the folder; -ENOMEM. */
static int list_files(const char *path, struct listing *listing) {
        struct dirent *file;
        bool gzip;
        int r = 0;
        DIR *folder;

        listing->name = strrchr(path, '/') + 1;
        listing->folder = strndup(path, (size_t) (listing->name - path - 1));
        listing->entries = calloc(ENTRIES_MAX, sizeof(listing->entries[0]));
        if (!listing->folder || !listing->entries)
                return -ENOMEM;
        folder = opendir(listing->folder[0] ? listing->folder : "/");
        if (!folder)
                return -errno;
        while (r >= 0 && listing->n < ENTRIES_MAX && (file = readdir(folder)))
                if (belongs(listing->name, file->d_name, &gzip))
                        r = add_entry(listing, dirfd(folder), file->d_name, gzip);
        (void) closedir(folder);
        return r;
}

/* ---- what holds what ---- */

static struct access_stream *by_inode(struct access_log *log, const struct stat *st) {
        struct access_stream *stream;

        list_for_each(stream, &log->streams, list)
                if (stream->inode == st->st_ino && stream->device == st->st_dev &&
                                stream->inode != 0)
                        return stream;
        return NULL;
}

static struct access_stream *by_head(struct access_log *log, const char *head, size_t size) {
        struct access_stream *stream;

        list_for_each(stream, &log->streams, list)
                if (access_head_is_telling(stream->head, stream->head_size) &&
                                size >= stream->head_size &&
                                memcmp(head, stream->head, stream->head_size) == 0)
                        return stream;
        return NULL;
}

static ssize_t entry_head(const struct entry *entry, char head[static ACCESS_HEAD_MAX]) {
        _cleanup_(fd_closep) int fd = -EBADF;

        fd = open(entry->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        return fd < 0 ? -errno : access_head_read(fd, entry->gzip, head);
}

static uint64_t mtime_us(const struct stat *st) {
        return (uint64_t) st->st_mtim.tv_sec * USEC_PER_SEC;
}

static void set_path(struct access_log *log, struct access_stream *stream, const char *path) {
        char *copy;

        if (strcmp(stream->path, path) == 0)
                return;
        copy = strdup(path);
        if (!copy)
                return; /* opening it will fail, and the next scan tries again */
        free(stream->path);
        stream->path = copy;
        access_log_touch(log, stream);
}

/* The stream lies there now. */
static void place(struct access_log *log, struct access_stream *stream, const struct entry *entry) {
        if (stream->inode != entry->st.st_ino || stream->device != entry->st.st_dev) {
                access_stream_close(stream);
                stream->inode = entry->st.st_ino;
                stream->device = entry->st.st_dev;
                stream->tried_size = 0;
                access_log_touch(log, stream);
        }
        set_path(log, stream, entry->path);
        stream->is_gzip = entry->gzip;
        stream->live = entry->live;
        stream->in_place = stream->seen = true;
        stream->missing_since_us = 0;
        stream->size = (uint64_t) entry->st.st_size;
        stream->mtime_us = mtime_us(&entry->st);
        if (stream->complete && (stream->is_gzip || stream->size == stream->offset))
                stream->tried_size = stream->size; /* all of it was read */
        if (stream->failed && !stream->broken)
                stream->tried_size = 0;
}

static void leave_place(struct access_log *log, struct access_stream *stream) {
        stream->device = stream->inode = 0;
        stream->in_place = stream->live = false;
        stream->size = stream->tried_size = 0;
        access_log_touch(log, stream);
}

static struct access_stream *new_stream(struct access_log *log, const char *path) {
        struct access_stream *stream;

        if (log->n_streams >= ACCESS_LOG_STREAMS_MAX || access_stream_new(log, path, &stream) < 0) {
                (void) log_warn("Access log %s is left out, there are too many files", path);
                return NULL;
        }
        return stream;
}

void access_scan_truncated(struct access_log *log, struct access_stream *stream) {
        struct access_stream *fresh;

        log->now.truncations++;
        log->scan_wanted = true; /* there may be a copy, with what was not read yet */
        fresh = new_stream(log, stream->path);
        if (fresh) {
                fresh->device = stream->device;
                fresh->inode = stream->inode;
                fresh->live = stream->live;
                fresh->in_place = stream->in_place;
                fresh->is_gzip = stream->is_gzip;
                fresh->size = stream->size;
                fresh->mtime_us = stream->mtime_us;
                if (!fresh->is_gzip)
                        fresh->fd = TAKE_FD(stream->fd);
        }
        access_stream_close(stream);
        leave_place(log, stream);
}

/* A stream by its inode: is it in there still? Inodes are used again. */
static bool still_holds(const struct access_stream *stream, const struct entry *entry) {
        char head[ACCESS_HEAD_MAX];
        ssize_t n;

        if (stream->fd >= 0 ||
                        (stream->in_place && stream->size == (uint64_t) entry->st.st_size &&
                                        stream->mtime_us == mtime_us(&entry->st)))
                return true; /* reading checks it, or nothing has changed */
        n = entry_head(entry, head);
        if (n < 0)
                return true; /* unreadable at present: reading will tell */
        return (size_t) n >= stream->head_size &&
                        memcmp(head, stream->head, stream->head_size) == 0;
}

static void place_known(struct access_log *log, struct listing *listing) {
        struct access_stream *stream;

        for (size_t i = 0; i < listing->n; i++) {
                struct entry *entry = &listing->entries[i];

                stream = by_inode(log, &entry->st);
                if (!stream)
                        continue;
                if (!still_holds(stream, entry)) {
                        access_stream_close(stream);
                        leave_place(log, stream);
                        continue;
                }
                place(log, stream, entry);
        }
}

/* Files that nothing is known of, by their inode. */
static void place_unknown(
                struct access_log *log, struct listing *listing, bool gzip, bool history) {
        char head[ACCESS_HEAD_MAX];
        struct access_stream *stream;
        ssize_t n;

        for (size_t i = 0; i < listing->n; i++) {
                struct entry *entry = &listing->entries[i];

                if (entry->gzip != gzip || by_inode(log, &entry->st))
                        continue;
                n = entry_head(entry, head);
                if (n < 0 || (!entry->live && !access_head_is_telling(head, (size_t) n)))
                        continue; /* unreadable, or not all there yet: the next scan looks again */
                stream = by_head(log, head, (size_t) n);
                if (stream && stream->in_place)
                        continue; /* a copy of what is being read */
                if (stream && !entry->gzip && (uint64_t) entry->st.st_size < stream->offset)
                        continue; /* one that is being made, or of a part */
                if (!stream) {
                        stream = new_stream(log, entry->path);
                        if (!stream)
                                return;
                        memcpy(stream->head, head, (size_t) n);
                        stream->head_size = (size_t) n;
                        stream->complete = !entry->live && !history;
                        if (stream->complete && !entry->gzip)
                                stream->offset = (uint64_t) entry->st.st_size;
                }
                place(log, stream, entry);
        }
}

/* Is that the path of a file that belongs to a configured one, whose folder was read? */
static bool is_of(const char *path, const char *configured) {
        const char *name = strrchr(configured, '/') + 1;
        size_t n = (size_t) (name - configured);
        bool gzip;

        return strncmp(path, configured, n) == 0 && !strchr(path + n, '/') &&
                        belongs(name, path + n, &gzip);
}

/* What was not seen has been deleted, or its folder is away. A live file that was deleted with none
 * in its place is still written to by who has it open. */
static void miss(struct access_log *log, struct access_stream *stream, bool has_live) {
        uint64_t now_us = clock_monotonic_us();

        if (stream->in_place)
                return;
        stream->live = stream->live && !has_live;
        if (!stream->missing_since_us)
                stream->missing_since_us = now_us;
        if (stream->fd < 0 && now_us - stream->missing_since_us > FORGET_US && !stream->forget) {
                stream->forget = true;
                access_log_touch(log, stream);
        }
}

static void watch_folder(struct access_log *log, const char *folder) {
        /* Again and again: it may have been made anew; the same one is not watched twice. */
        if (log->inotify_fd >= 0)
                (void) inotify_add_watch(log->inotify_fd, folder[0] ? folder : "/",
                                IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR);
}

static void scan_path(struct access_log *log, const char *path) {
        struct listing listing = {};
        struct access_stream *stream;
        bool first = true, has_live = false;

        if (list_files(path, &listing) < 0) {
                listing_done(&listing);
                return; /* away for now, and with it the files; what is known of them stays */
        }
        watch_folder(log, listing.folder);
        list_for_each(stream, &log->streams, list) {
                stream->seen = false;
                first = first && !is_of(stream->path, path);
        }
        place_known(log, &listing);
        list_for_each(stream, &log->streams, list)
                if (!stream->seen && is_of(stream->path, path))
                        stream->in_place = false;
        place_unknown(log, &listing, false, log->config.history || !first);
        place_unknown(log, &listing, true, log->config.history || !first);
        for (size_t i = 0; i < listing.n; i++)
                has_live = has_live || listing.entries[i].live;
        list_for_each(stream, &log->streams, list)
                if (is_of(stream->path, path))
                        miss(log, stream, has_live);
        listing_done(&listing);
}

void access_scan(struct access_log *log) {
        for (size_t i = 0; i < ACCESS_LOG_PATHS_MAX && log->paths[i]; i++)
                scan_path(log, log->paths[i]);
}

/* ---- news of folders ---- */

static bool concerns_us(const struct access_log *log, const char *name) {
        bool gzip;

        for (size_t i = 0; i < ACCESS_LOG_PATHS_MAX && log->paths[i]; i++)
                if (belongs(strrchr(log->paths[i], '/') + 1, name, &gzip))
                        return true;
        return false;
}

static void on_inotify(struct access_log *log, struct access_watch *watch) {
        _Alignas(struct inotify_event) char events[4096];
        const struct inotify_event *event;
        ssize_t n;

        while ((n = read(log->inotify_fd, events, sizeof(events))) > 0) {
                for (const char *at = events; at < events + n; at += sizeof(*event) + event->len) {
                        event = (const struct inotify_event *) (const void *) at;
                        if (event->mask & IN_Q_OVERFLOW || event->len == 0 ||
                                        concerns_us(log, event->name))
                                log->scan_wanted = true;
                }
        }
}

int access_scan_start(struct access_log *log) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &log->inotify_watch };

        log->inotify_watch.ready = on_inotify;
        log->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (log->inotify_fd < 0)
                return errno == EMFILE ? 0 : -errno; /* then every ten seconds has to do */
        return epoll_ctl(log->epoll_fd, EPOLL_CTL_ADD, log->inotify_fd, &event) < 0 ? -errno : 0;
}
