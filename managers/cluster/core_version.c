/* SPDX-License-Identifier: Apache-2.0
 *
 * Older and newer releases side by side: each link speaks what both of its ends
 * understand, so a cluster is upgraded one member after another. */
#include "config.h"

#include "managers/cluster/core_impl.h"

void version_agree(const struct core *core, struct peer *p,
                   const struct frame_hello *f)
{
    p->version =
        f->version < core->options.version ? f->version : core->options.version;
}

void version_greet(struct core *core, struct peer *p)
{
    if (p->version < FRAME_VERSION_RELEASE)
        return;
    frame_release(&core->w, PACKAGE_STRING);
    core_post(core, p);
}

void version_frame(struct core *core, const struct peer *p,
                   const struct frame *f)
{
    core->releases++;
    core_say(core, LOG_INFO, "%s is %.*s", p->name, (int)f->release.len,
             f->release.p);
}

unsigned version_older(const struct core *core)
{
    unsigned count = 0;

    for (size_t i = 0; i < core->peer_count; i++)
        count += peer_linked(core->peers[i]) &&
                 core->peers[i]->version < core->options.version;
    return count;
}
