#pragma once
/* What is read of domains more seldom than each round, because it costs more or may hang: what
 * guests say of their file systems and addresses, what images take on the host, the disks of
 * domains that are off. All of it with a crew of its own, so that it holds nothing else up. Loop
 * thread only. */

#include "source/libvirt_crew.h"
#include "source/meter.h"

struct libvirt_guest;

/**
 * @config:    of its crew; copied
 * @source:    whose workloads they are; copied
 * @period_us: how often a guest is asked; agents only where the connection may write, as libvirt
 *             wants it
 *
 * Return: as libvirt_crew_new().
 */
int libvirt_guest_new(const struct libvirt_crew_config *config, const char *source,
                uint64_t period_us, const struct meter_env *env, struct libvirt_guest **ret_guest);
struct libvirt_guest *libvirt_guest_free(struct libvirt_guest *guest);

/** A tick: begin a round if one is due. */
void libvirt_guest_read(struct libvirt_guest *guest);
/** The domain @uuid is off, and something about it changed. */
void libvirt_guest_changed(struct libvirt_guest *guest, const char *uuid);
/** Add to a new reading of @uuid what is known of its guest and images, while it is not too old. */
void libvirt_guest_complete(
                const struct libvirt_guest *guest, const char *uuid, struct stats *stats);
