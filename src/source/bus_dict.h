#pragma once
/* An a{sv}, as which the objects on a bus tell their properties. */

#include <systemd/sd-bus.h>

/**
 * Walk an a{sv}. @take gets the name of each entry and the type of what its variant holds, and
 * reads the variant, or leaves it. It returns 1 where it has read it, 0 where it has not, a
 * negative errno to end the walk with that.
 *
 * Return: 0; negative errno: no such dictionary, or @take's.
 */
int bus_dict_read(sd_bus_message *message,
                int (*take)(sd_bus_message *message, const char *name, const char *type,
                                void *userdata),
                void *userdata);
