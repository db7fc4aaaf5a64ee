/* SPDX-License-Identifier: Apache-2.0 */
#include "webapps/login/art.h"

const char login_cat[] =
    "<svg class=\"cat\" viewBox=\"0 0 120 112\" aria-hidden=\"true\""
    " focusable=\"false\">"
    /* ears */
    "<path fill=\"#c98f4e\" d=\"M20 52C12 28 13 10 20 8c10-2 24 10 32 20z\"/>"
    "<path fill=\"#c98f4e\" d=\"M100 52c8-24 7-42 0-44-10-2-24 10-32 20z\"/>"
    "<path fill=\"#3a2a1c\" d=\"M24 42c-5-16-4-25-1-26 6 0 13 7 19 14z\"/>"
    "<path fill=\"#3a2a1c\" d=\"M96 42c5-16 4-25 1-26-6 0-13 7-19 14z\"/>"
    /* head */
    "<path fill=\"#dba962\" d=\"M60 22c28 0 46 18 46 42 0 26-21 42-46 42"
    "S14 90 14 64c0-24 18-42 46-42z\"/>"
    "<path fill=\"#f6e7cd\" d=\"M60 74c16 0 27 6 27 15 0 10-13 17-27 17"
    "s-27-7-27-17c0-9 11-15 27-15z\"/>"
    "<path fill=\"#f6e7cd\" d=\"M26 50c4-7 14-9 21-4-7 0-14 2-21 4z"
    "M94 50c-4-7-14-9-21-4 7 0 14 2 21 4z\"/>"
    /* stripes and spots */
    "<g fill=\"none\" stroke=\"#3a2a1c\" stroke-width=\"3.6\""
    " stroke-linecap=\"round\">"
    "<path d=\"M47 27c0 6 1 10 3 15M73 27c0 6-1 10-3 15M60 25v9\"/>"
    "<path d=\"M17 72c5 2 9 3 14 3M21 84c5 0 9-1 13-3\"/>"
    "<path d=\"M103 72c-5 2-9 3-14 3M99 84c-5 0-9-1-13-3\"/></g>"
    "<g fill=\"#3a2a1c\"><ellipse cx=\"36\" cy=\"35\" rx=\"4\" ry=\"3\"/>"
    "<ellipse cx=\"84\" cy=\"35\" rx=\"4\" ry=\"3\"/>"
    "<circle cx=\"60\" cy=\"42\" r=\"2.2\"/><circle cx=\"54\" cy=\"47\""
    " r=\"1.7\"/><circle cx=\"66\" cy=\"47\" r=\"1.7\"/></g>"
    /* eyes */
    "<ellipse cx=\"40\" cy=\"62\" rx=\"14\" ry=\"13.5\" fill=\"#3a2a1c\"/>"
    "<ellipse cx=\"80\" cy=\"62\" rx=\"14\" ry=\"13.5\" fill=\"#3a2a1c\"/>"
    "<circle cx=\"40.5\" cy=\"62\" r=\"11\" fill=\"#e8b63e\"/>"
    "<circle cx=\"79.5\" cy=\"62\" r=\"11\" fill=\"#e8b63e\"/>"
    "<ellipse cx=\"41\" cy=\"62\" rx=\"6.4\" ry=\"8.4\" fill=\"#17110b\"/>"
    "<ellipse cx=\"79\" cy=\"62\" rx=\"6.4\" ry=\"8.4\" fill=\"#17110b\"/>"
    "<g fill=\"#fff\"><circle cx=\"44\" cy=\"58\" r=\"2.8\"/>"
    "<circle cx=\"82\" cy=\"58\" r=\"2.8\"/></g>"
    /* nose, mouth, whiskers */
    "<path fill=\"#b5605a\" d=\"M53 78c3-2 11-2 14 0 1 2-4 7-7 7s-8-5-7-7z\"/>"
    "<path fill=\"none\" stroke=\"#3a2a1c\" stroke-width=\"2.2\""
    " stroke-linecap=\"round\" d=\"M60 85v4c-1 5-8 7-12 3M60 89"
    "c1 5 8 7 12 3\"/>"
    "<g fill=\"#3a2a1c\"><circle cx=\"46\" cy=\"84\" r=\"1.2\"/>"
    "<circle cx=\"42\" cy=\"88\" r=\"1.2\"/><circle cx=\"74\" cy=\"84\""
    " r=\"1.2\"/><circle cx=\"78\" cy=\"88\" r=\"1.2\"/></g>"
    "</svg>";
