#pragma once
/* What a domain's XML says of its devices. Pure. */

#include "base/macro.h"

struct libvirt_xml_disk {
        char target[64];
        char *path;     /* of the image or device; NULL: it is none, or not on this host */
        bool file, raw; /* <disk type='file'>, <driver type='raw'> */
};

struct libvirt_xml_net {
        char target[64]; /* on the host; "": not said */
        char mac[18];    /* "": not said */
};

struct libvirt_xml {
        struct libvirt_xml_disk *disks;
        size_t n_disks;
        struct libvirt_xml_net *nets;
        size_t n_nets;
        bool agent; /* a guest agent is connected */
};

/**
 * Read @text: disks with a target and interfaces in their order, at most STATS_DEVICES_MAX of each;
 * texts that are too long for their place are left out. Source: libvirt's formatdomain.html.
 *
 * Return: 0; -EINVAL no XML, or no domain; -ENOMEM.
 */
int libvirt_xml_parse(const char *text, size_t size, struct libvirt_xml *ret_xml);
void libvirt_xml_done(struct libvirt_xml *xml);
