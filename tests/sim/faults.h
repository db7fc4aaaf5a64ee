/* SPDX-License-Identifier: Apache-2.0
 *
 * faults.h: what goes wrong, and when it is over.
 *
 * What    While the clients work, faults of the kinds that the seed's weather
 *         has come at random moments and last for random times. In seeds that
 *         promise that nothing acknowledged is lost, no member is taken away
 *         unless another one is awake and may answer: it holds all that was
 *         acknowledged.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_FAULTS_H
#define MARGAY_TESTS_SIM_FAULTS_H

#include "tests/sim/sim.h"

struct faults *faults_new(struct sim *sim);
void faults_free(struct faults **faults);
void faults_event(struct sim *sim, const struct event *event);
/* Ends all of them: hosts run again, links carry again. */
void faults_heal(struct sim *sim);

#endif
