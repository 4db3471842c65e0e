#pragma once
/* What client programs need to know of virtwatch: names and limits. Includes nothing of ours. */

#define VW_BUS_NAME           "org.virtwatch1"
#define VW_OBJECT_PATH        "/org/virtwatch1"
#define VW_INTERFACE_MANAGER  "org.virtwatch1.Manager"
#define VW_INTERFACE_WORKLOAD "org.virtwatch1.Workload"
#define VW_INTERFACE_NODE     "org.virtwatch1.Node"
#define VW_INTERFACE_APP      "org.virtwatch1.App"
#define VW_INTERFACE_PROBE    "org.virtwatch1.Probe"

/* Beside Workload, by kind; a unit has neither. */
#define VW_INTERFACE_VIRTUAL_MACHINE "org.virtwatch1.VirtualMachine"
#define VW_INTERFACE_CONTAINER       "org.virtwatch1.Container"

#define VW_ERROR_NO_SUCH_WORKLOAD   "org.virtwatch1.Error.NoSuchWorkload"
#define VW_ERROR_NO_SUCH_PROBE      "org.virtwatch1.Error.NoSuchProbe"
#define VW_ERROR_NO_TARGET          "org.virtwatch1.Error.NoTarget"
#define VW_ERROR_NO_SUCH_TOKEN      "org.virtwatch1.Error.NoSuchToken"
#define VW_ERROR_NOT_SUPPORTED      "org.virtwatch1.Error.NotSupported"
#define VW_ERROR_ALREADY_SUBSCRIBED "org.virtwatch1.Error.AlreadySubscribed"
#define VW_ERROR_NOT_SUBSCRIBED     "org.virtwatch1.Error.NotSubscribed"
#define VW_ERROR_BAD_CONFIGURATION  "org.virtwatch1.Error.BadConfiguration"

/* Of Workload.Stop(), Destroy() and Scale(). */
#define VW_ERROR_ACTIONS_DISABLED   "org.virtwatch1.Error.ActionsDisabled"
#define VW_ERROR_ACTION_IN_PROGRESS "org.virtwatch1.Error.ActionInProgress"
#define VW_ERROR_ACTION_FAILED      "org.virtwatch1.Error.ActionFailed"
#define VW_ERROR_INVALID_STATE      "org.virtwatch1.Error.InvalidState"
#define VW_ERROR_SOURCE_DOWN        "org.virtwatch1.Error.SourceDown"
#define VW_ERROR_WORKLOAD_HUNG      "org.virtwatch1.Error.WorkloadHung"
/* Of the element in a libvirt domain's metadata that says which app it is of. */
#define VW_METADATA_NAMESPACE "https://virtwatch.org/xmlns/app/1"

#define VW_HTTP_ADDRESS_DEFAULT "127.0.0.1:9887"
#define VW_HTTP_SOCKET_DEFAULT  "/run/virtwatch/http.sock"
#define VW_KMSG_SOCKET_DEFAULT  "/run/virtwatch-kmsg.sock"
#define VW_CONFIG_DEFAULT       "/etc/virtwatch/virtwatch.yaml"
#define VW_STATE_DIR_DEFAULT    "/var/lib/virtwatch"

/* A page of events: GET /api/v1/events?limit= and GetEvents(). */
#define VW_EVENTS_PAGE_DEFAULT 100
#define VW_EVENTS_PAGE_MAX     1000
