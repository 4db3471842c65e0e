#pragma once
/* What virDomainListGetStats() says, as a reading. Pure. */

#include <libvirt/libvirt.h>

#include "model/stats.h"

/**
 * Take @params over into @stats: the groups cpu, balloon, vcpu, net and block; fields that are not
 * known are passed over, absurd ones (negative, past the bounds) stay "not told". Source of the
 * names and units: libvirt-domain.c, virConnectGetAllDomainStats().
 */
void libvirt_stats_parse(const virTypedParameter *params, int n_params, struct stats *stats);

/**
 * Take the file systems of virDomainGetGuestInfo() over into @stats, and sum them up. One whose
 * usage the agent does not tell (QEMU's before 5.0) is left out.
 */
void libvirt_stats_parse_guest(const virTypedParameter *params, int n_params, struct stats *stats);
