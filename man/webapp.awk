# SPDX-License-Identifier: Apache-2.0
# webapp.awk: margay-webapp(3) out of the comments of <margay/servlet.h>: the
# page's sections are the header's, a comment stands below what it is about.
# awk -v version=N -f man/webapp.awk container/servlet.h

function troff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/\047/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    if (text ~ /^\./)
        text = "\\&" text
    return text
}

# Sentences, one a line.
function fill(text, n, i, each) {
    gsub(/[ \t]+/, " ", text)
    sub(/^ /, "", text)
    sub(/ $/, "", text)
    gsub(/\. /, ".\n", text)
    n = split(text, each, "\n")
    for (i = 1; i <= n; i++)
        fold_line(troff(each[i]))
}
function fold_line(text, at) {
    while (length(text) > 76) {
        for (at = 76; at > 1 && substr(text, at, 1) != " "; at--)
            continue
        if (at == 1)
            break
        print substr(text, 1, at - 1)
        text = substr(text, at + 1)
        if (text ~ /^\./)
            text = "\\&" text
    }
    if (text != "")
        print text
}

# The file's own comment: "What    text", a section each; what stands further
# in than the text is an example.
function about(line) {
    sub(/^ \*( |$)/, "", line)
    sub(/ *\*\/$/, "", line)
    if (line ~ /^servlet\.h/)
        return
    if (line ~ /^[A-Z][a-z]+ +[^ ]/ && line !~ /^ /) {
        say_about()
        title = line
        sub(/ .*/, "", title)
        sub(/^[A-Z][a-z]+ +/, "", line)
    } else if (line ~ /^            /) {
        say_about()
        sub(/^ +/, "", line)
        print ".PP\n.RS\n.nf\n" troff(line) "\n.fi\n.RE"
        return
    }
    body = body " " line
}
function say_about() {
    if (body !~ /[^ ]/)
        return
    if (title == "What") {
        print ".SH DESCRIPTION"
    } else if (title != "") {
        print ".SS " title
    } else {
        print ".PP"
    }
    title = ""
    fill(body)
    body = ""
}

# What has been gathered: declarations, and what is said of them.
function flush_part() {
    if (code != "") {
        if (!fresh)
            print ".PP"
        fresh = 0
        printf ".nf\n.ft B\n%s.ft R\n.fi\n", code
        if (comment ~ /[^ ]/) {
            print ".RS"
            fill(comment)
            print ".RE"
        }
        comment = ""
    } else if (comment ~ /[^ ]/) {
        if (!fresh)
            print ".PP"
        fresh = 0
        fill(comment)
        comment = ""
    }
    code = ""
}

BEGIN {
    print ".\\\" made by webapp.awk out of servlet.h"
    print ".TH MARGAY\\-WEBAPP 3 2026-11-22 \"Margay " version "\" " \
        "\"Library Functions\""
    print ".ad l\n.nh"
    print ".SH NAME\nmargay\\-webapp \\- the servlet interface of margay in C"
    print ".SH SYNOPSIS\n.B #include <margay/servlet.h>"
}
/^\/\* SPDX/ { head = 1; next }
head {
    about($0)
    if ($0 ~ /\*\/$/) {
        say_about()
        head = 0
    }
    next
}
/^#if|^#endif|^#include|^extern "C"|^}$|^#define MARGAY_SERVLET_H/ { next }
/^\/\* ---- .* ---- \*\/$/ {
    flush_part()
    text = $0
    sub(/^\/\* ---- /, "", text)
    sub(/ ---- \*\/$/, "", text)
    print ".SH " toupper(text)
    fresh = 1
    next
}
# A comment at the margin is about what comes next.
/^\/\*/ && !inside {
    flush_part()
    talking = 1
}
talking {
    text = $0
    sub(/^\/\* ?/, "", text)
    sub(/^ \* ?/, "", text)
    ends = text ~ /\*\/$/
    sub(/ *\*\/$/, "", text)
    comment = comment " " text
    if (ends)
        talking = 0
    next
}
/^$/ { flush_part(); next }
{
    # A comment belongs to one declaration, several to none of its own.
    if (!inside && comment ~ /[^ ]/ && code != "")
        flush_part()
    code = code troff($0) "\n"
    depth += gsub(/{/, "{") - gsub(/}/, "}")
    inside = depth > 0 || $0 !~ /;( *\/\*.*\*\/)?$/ && $0 !~ /^#/
    if (!inside && comment ~ /[^ ]/)
        flush_part()
}
END {
    flush_part()
    print ".SH SEE ALSO\n.BR margay (1),\n.BR server.xml (5)"
}
