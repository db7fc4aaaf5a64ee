/* SPDX-License-Identifier: Apache-2.0
 *
 * art.h: the margay, drawn by hand as inline SVG.
 *
 * What    One string to print into a page; size and place come from style.css
 *         (class cat). It means nothing, so screen readers are told to pass.
 * Threads Constant. */
#ifndef MARGAY_WEBAPPS_LOGIN_ART_H
#define MARGAY_WEBAPPS_LOGIN_ART_H

extern const char login_cat[];

#endif
