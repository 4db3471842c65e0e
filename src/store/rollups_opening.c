/* Opening while the daemon runs: on a thread, as a disk may hang, or a large database take its time
 * to be checked. */

#include <string.h>

#include "loop/mailbox.h"
#include "store/rollups_internal.h"

/* A position and what it points to. */
struct kept {
        struct list list;
        struct access_position position;
        char *path;
        char head[ACCESS_HEAD_MAX];
};

struct rollups_opening {
        struct letter letter; /* first: it is over */
        sd_event *event;
        struct mailbox *mailbox;
        pthread_t thread;
        bool has_thread, is_over;
        rollups_opened_t done;
        void *userdata;

        /* the thread's, and the loop's once it is over */
        struct rollups *rollups;
        struct list positions; /* of struct kept */
        int error;
};

static void kept_free(struct kept *kept) {
        list_remove(&kept->list);
        free(kept->path);
        free(kept);
}

/* ---- on the thread ---- */

static int keep_position(const struct access_position *position, void *userdata) {
        struct rollups_opening *opening = userdata;
        struct kept *kept = calloc(1, sizeof(*kept));

        if (!kept)
                return -ENOMEM;
        list_append(&opening->positions, &kept->list);
        kept->position = *position;
        kept->path = strdup(position->path);
        if (!kept->path)
                return -ENOMEM;
        if (position->head_size > 0)
                memcpy(kept->head, position->head, position->head_size);
        kept->position.path = kept->path;
        kept->position.head = kept->head;
        return 0;
}

static void *opening_main(void *userdata) {
        struct rollups_opening *opening = userdata;
        int r;

        r = opening->error = rollups_open_files(opening->rollups);
        if (r >= 0 || r == -EUCLEAN)
                r = rollups_load_positions(opening->rollups, keep_position, opening);
        if (r < 0) {
                opening->error = r;
                opening->rollups = rollups_close(opening->rollups);
        }
        (void) mailbox_post(opening->mailbox, &opening->letter);
        return NULL;
}

/* ---- on the loop ---- */

static void on_over(struct letter *letter, void *userdata) {
        struct rollups_opening *opening = userdata;
        struct rollups *rollups = opening->rollups;
        int r = 0;

        opening->is_over = true;
        if (!opening->done)
                return; /* nobody waits any more */
        opening->rollups = NULL;
        if (rollups)
                r = rollups_start_reader(rollups, opening->event);
        if (r < 0) {
                opening->error = r;
                rollups = rollups_close(rollups);
        }
        opening->done(opening->error, rollups, opening->userdata);
}

int rollups_opening_new(const struct rollups_config *config, sd_event *event, rollups_opened_t done,
                void *userdata, struct rollups_opening **ret_opening) {
        _cleanup_(rollups_opening_freep) struct rollups_opening *opening =
                        calloc(1, sizeof(*opening));
        int r;

        if (!opening)
                return -ENOMEM;
        list_init(&opening->positions);
        opening->event = sd_event_ref(event);
        opening->done = done;
        opening->userdata = userdata;
        r = rollups_new(config, &opening->rollups);
        if (r >= 0)
                r = mailbox_new(event, 1, on_over, opening, &opening->mailbox);
        if (r < 0)
                return r;
        r = pthread_create(&opening->thread, NULL, opening_main, opening);
        if (r > 0)
                return -r;
        opening->has_thread = true;
        *ret_opening = TAKE_PTR(opening);
        return 0;
}

struct rollups_opening *rollups_opening_free(struct rollups_opening *opening) {
        struct kept *kept;

        if (!opening)
                return NULL;
        opening->done = NULL;
        if (opening->has_thread)
                (void) pthread_join(opening->thread, NULL);
        mailbox_free(opening->mailbox);
        rollups_close(opening->rollups);
        while ((kept = list_first(&opening->positions, struct kept, list)))
                kept_free(kept);
        sd_event_unref(opening->event);
        free(opening);
        return NULL;
}

bool rollups_opening_is_over(const struct rollups_opening *opening) {
        return opening->is_over;
}

int rollups_opening_positions(struct rollups_opening *opening,
                int (*each)(const struct access_position *position, void *userdata),
                void *userdata) {
        struct kept *kept;
        int r = 0;

        while (r >= 0 && (kept = list_first(&opening->positions, struct kept, list))) {
                r = each(&kept->position, userdata);
                kept_free(kept);
        }
        return r < 0 ? r : 0;
}
