#pragma once
/* The app that a domain's own metadata names:
 *
 *     <metadata><virtwatch:app xmlns:virtwatch="https://virtwatch.org/xmlns/app/1"
 * slug="shop"/></metadata>
 *
 * as `virsh metadata DOMAIN --uri https://virtwatch.org/xmlns/app/1 --key virtwatch --set '<app
 * slug="shop"/>'` writes it. Whoever may change a domain writes it, so it is checked like any text
 * from outside. */

#include <json-c/json.h>
#include <libvirt/libvirt.h>

#include "model/app.h"

#define LIBVIRT_APP_XML_MAX 4096 /* bytes of the element */

/**
 * The slug in the element's text.
 *
 * Return: 0; -EINVAL no XML, too long, another element or namespace, no slug or one that is none;
 * -ENOMEM.
 */
int libvirt_app_parse(const char *text, size_t size, char slug[static APP_SLUG_MAX + 1]);

/**
 * What the domain's metadata says as labels, {"virtwatch.slug": …} or none. It asks libvirt, so
 * never on the loop; QEMU is not asked. Caller puts; NULL: it cannot be told.
 */
struct json_object *libvirt_app_labels(virDomainPtr domain);
