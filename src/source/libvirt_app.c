/* A domain's metadata, with libxml2, which libvirt itself reads it with. */

#include "source/libvirt_app.h"

#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "virtwatch/virtwatch.h"

#define TEXT(constant) ((const xmlChar *) (constant))

/* Nothing is fetched and no entity expanded; with a DTD it is none of ours. libvirt finds it by the
 * namespace, and takes that away. */
static int read_slug(xmlDoc *document, char slug[static APP_SLUG_MAX + 1]) {
        xmlNode *root = xmlDocGetRootElement(document);
        xmlChar *value;
        int r = -EINVAL;

        if (!root || document->intSubset || strcmp((const char *) root->name, "app") != 0 ||
                        (root->ns && !xmlStrEqual(root->ns->href, TEXT(VW_METADATA_NAMESPACE))))
                return -EINVAL;
        value = xmlGetNoNsProp(root, TEXT("slug"));
        if (value && app_slug_is_valid((const char *) value)) {
                memcpy(slug, value, strlen((const char *) value) + 1);
                r = 0;
        }
        xmlFree(value);
        return r;
}

int libvirt_app_parse(const char *text, size_t size, char slug[static APP_SLUG_MAX + 1]) {
        const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
        xmlDoc *document;
        int r;

        if (size == 0 || size > LIBVIRT_APP_XML_MAX)
                return -EINVAL;
        document = xmlReadMemory(text, (int) size, NULL, "UTF-8", options);
        if (!document)
                return -EINVAL;
        r = read_slug(document, slug);
        xmlFreeDoc(document);
        return r;
}

struct json_object *libvirt_app_labels(virDomainPtr domain) {
        char slug[APP_SLUG_MAX + 1], uuid[VIR_UUID_STRING_BUFLEN] = "";
        struct json_object *labels;
        virErrorPtr error;
        char *text;
        int r = -ENOENT;

        text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, VW_METADATA_NAMESPACE, 0);
        if (text) {
                r = libvirt_app_parse(text, strlen(text), slug);
                free(text);
        } else {
                error = virGetLastError();
                if (!error || error->code != VIR_ERR_NO_DOMAIN_METADATA)
                        return NULL;
        }
        (void) virDomainGetUUIDString(domain, uuid);
        if (r == -EINVAL)
                log_warn("The metadata of domain %s names no app: it wants <app slug=\"…\"/> with 1 to 63 of a-z, 0-9 and -",
                                uuid);
        labels = json_object_new_object();
        if (labels && r >= 0 && json_add_string(labels, "virtwatch.slug", slug) < 0) {
                (void) json_object_put(labels);
                return NULL;
        }
        return labels;
}
