#pragma once
/* How the reading of access logs goes, in numbers since the start. */

#include "model/access_line.h"

struct access_stats {
        uint64_t lines[ACCESS_VERDICT_MAX_]; /* taken, by verdict */
        uint64_t without_duration;   /* of those that are ok: an integer of a unit not told */
        uint64_t bytes;              /* read of files (compressed ones: as they lie there) */
        uint64_t files, connections; /* now */
        uint64_t connections_refused, truncations, unreadable_files, commit_errors;
        uint64_t backlog_bytes; /* of files, not read yet */
        /* An import is going on where much lies unread. */
        bool importing;
        uint64_t import_done_bytes, import_total_bytes;
};
