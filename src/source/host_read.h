#pragma once
/* Reads the host: files of /proc, and how full file systems are. Any thread, one reader a thread.
 * What a kernel does not have is left "not told". */

#include "model/host.h"

struct host_reader;

struct host_reader_config {
        const char *root;                  /* where the kernel's files are; NULL: /proc */
        struct host_patterns types;        /* of file systems that are looked at */
        struct host_patterns ignore_nets;  /* network devices that are left out */
        struct host_patterns ignore_disks; /* disks that are left out */
};

/** Copies @config. Return: 0; -ENOMEM. */
int host_reader_new(const struct host_reader_config *config, struct host_reader **ret_reader);
/** Another one like it, for another thread. Return: 0; -ENOMEM. */
int host_reader_copy(const struct host_reader *reader, struct host_reader **ret_reader);
struct host_reader *host_reader_free(struct host_reader *reader);
DEFINE_FREEP(struct host_reader, host_reader_free);

/**
 * Read all but the file systems; never waits for anything but the kernel.
 *
 * Return: 0; -ENODATA neither CPU time nor memory can be read; -ENOMEM.
 */
int host_reader_read(struct host_reader *reader, struct host **ret_host);

/**
 * Look at each file system. statvfs(2) asks the file system itself, and one whose server or disk is
 * gone may never answer; which one is under way, @begin says.
 *
 * @begin: before each; false: leave this one out, it is stuck
 *
 * Return: 0; -ENODATA the mounts cannot be read; -ENOMEM.
 */
int host_reader_read_mounts(struct host_reader *reader,
                bool (*begin)(const struct host_mount *mount, void *userdata), void *userdata,
                struct host_mounts **ret_mounts);
