/* A walk over libxml2's tree, which libvirt itself reads it with. */

#include "source/libvirt_xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <string.h>

#include "model/stats.h"

#define SIZE_MAX_BYTES (4 * 1024 * 1024)

static bool is_named(const xmlNode *node, const char *name) {
        return node->type == XML_ELEMENT_NODE && strcmp((const char *) node->name, name) == 0;
}

static xmlNode *child(const xmlNode *parent, const char *name) {
        for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
                if (is_named(node, name))
                        return node;
        return NULL;
}

/* Caller frees; NULL: not there. */
static char *attribute(xmlNode *node, const char *name) {
        xmlChar *value = node ? xmlGetProp(node, (const xmlChar *) name) : NULL;
        char *copy = value ? strdup((const char *) value) : NULL;

        xmlFree(value);
        return copy;
}

static void take_text(xmlNode *node, const char *name, char *to, size_t size) {
        _cleanup_(freep) char *value = attribute(node, name);

        if (value && strlen(value) < size)
                memcpy(to, value, strlen(value) + 1);
}

static bool attribute_is(xmlNode *node, const char *name, const char *expected) {
        _cleanup_(freep) char *value = attribute(node, name);

        return value && strcmp(value, expected) == 0;
}

/* Grows by one zeroed element. Return: it, or NULL. */
static void *add(void **array, size_t n, size_t size) {
        void *grown = reallocarray(*array, n + 1, size);

        if (!grown)
                return NULL;
        *array = grown;
        return memset((char *) grown + n * size, 0, size);
}

static int take_disk(xmlNode *node, struct libvirt_xml *xml) {
        struct libvirt_xml_disk *disk;
        xmlNode *source = child(node, "source");

        if (xml->n_disks >= STATS_DEVICES_MAX)
                return 0;
        disk = add((void **) &xml->disks, xml->n_disks, sizeof(*disk));
        if (!disk)
                return -ENOMEM;
        take_text(child(node, "target"), "dev", disk->target, sizeof(disk->target));
        if (!disk->target[0])
                return 0;
        xml->n_disks++;
        disk->file = attribute_is(node, "type", "file");
        disk->raw = attribute_is(child(node, "driver"), "type", "raw");
        if (disk->file)
                disk->path = attribute(source, "file");
        else if (attribute_is(node, "type", "block"))
                disk->path = attribute(source, "dev");
        return 0;
}

static int take_net(xmlNode *node, struct libvirt_xml *xml) {
        struct libvirt_xml_net *net;

        if (xml->n_nets >= STATS_DEVICES_MAX)
                return 0;
        net = add((void **) &xml->nets, xml->n_nets, sizeof(*net));
        if (!net)
                return -ENOMEM;
        xml->n_nets++;
        take_text(child(node, "target"), "dev", net->target, sizeof(net->target));
        take_text(child(node, "mac"), "address", net->mac, sizeof(net->mac));
        return 0;
}

static bool is_connected_agent(xmlNode *node) {
        xmlNode *target = child(node, "target");

        return attribute_is(target, "name", "org.qemu.guest_agent.0") &&
                        attribute_is(target, "state", "connected");
}

static int take_devices(const xmlNode *devices, struct libvirt_xml *xml) {
        int r = 0;

        for (xmlNode *node = devices ? devices->children : NULL; r >= 0 && node;
                        node = node->next) {
                if (is_named(node, "disk"))
                        r = take_disk(node, xml);
                else if (is_named(node, "interface"))
                        r = take_net(node, xml);
                else if (is_named(node, "channel"))
                        xml->agent = xml->agent || is_connected_agent(node);
        }
        return r;
}

int libvirt_xml_parse(const char *text, size_t size, struct libvirt_xml *ret_xml) {
        struct libvirt_xml xml = {};
        xmlNode *root;
        xmlDoc *document;
        int r;

        if (size > SIZE_MAX_BYTES)
                return -EINVAL;
        document = xmlReadMemory(text, (int) size, NULL, NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        if (!document)
                return -EINVAL;
        root = xmlDocGetRootElement(document);
        r = root && is_named(root, "domain") ? take_devices(child(root, "devices"), &xml) : -EINVAL;
        xmlFreeDoc(document);
        if (r < 0) {
                libvirt_xml_done(&xml);
                return r;
        }
        *ret_xml = xml;
        return 0;
}

void libvirt_xml_done(struct libvirt_xml *xml) {
        for (size_t i = 0; i < xml->n_disks; i++)
                free(xml->disks[i].path);
        free(xml->disks);
        free(xml->nets);
        *xml = (struct libvirt_xml){};
}
