#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# f_manual.sh: the manual pages that are installed render without a warning,
# and name what there is: margay(1) every command and option of --help,
# server.xml(5) every attribute of every table in the source (tables are looked
# for here by their form, so that one of which the page's maker does not know is
# found), margay-webapp(3) every function of the header; and nothing else.
# Run in the build directory.
set -u
grep -q '^RUNS_HERE_TRUE = #' Makefile 2>/dev/null && {
    echo "skipped all: built for another machine, without manual pages"
    exit 77
}
exec "${PYTHON:-python3}" - "${srcdir:-$(dirname "$0")/..}" <<'PYTHON'
import glob, os, re, shutil, subprocess, sys

top, stage = sys.argv[1], os.environ["MARGAY_STAGE"]
margay = stage + "/bin/margay"
paths = {"margay": "/share/man/man1/margay.1",
         "server.xml": "/share/man/man5/server.xml.5",
         "margay-webapp": "/share/man/man3/margay-webapp.3"}
passed = failed = skipped = 0

def check(good, what, more=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print("ok" if good else "FAILED", what, "" if good else more)

def same(one, other, what):
    check(one and one == other, what,
          f": only here {sorted(one - other)}, only there "
          f"{sorted(other - one)}")

def plain(text):
    return (text.replace("\\-", "-").replace("\\(aq", "'")
            .replace("\\(ga", "`").replace("\\(ha", "^").replace("\\e", "\\")
            .replace("\\ ", " ").replace("\\&", "").replace("\\:", ""))

source = {}
page = {}
for name, path in paths.items():
    source[name] = open(stage + path).read()
    page[name] = plain(source[name])

# --- they render ---

def render(command):
    global skipped
    if not shutil.which(command[0]):
        skipped += 1
        print(f"skipped {command[0]}: not there (Debian package "
              f"{'groff-base' if command[0] == 'groff' else command[0]})")
        return
    for path in paths.values():
        done = subprocess.run(command + [stage + path], text=True, timeout=60,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        check(done.returncode == 0 and done.stdout == "",
              f"{' '.join(command)} {path}", "\n" + done.stdout)

render(["groff", "-man", "-ww", "-z"])
render(["groff", "-man", "-ww", "-z", "-rLL=60n"])
# matters of style are lines that a long prefix makes long
render(["mandoc", "-T", "lint", "-W", "warning"])
check(not [n for n in page if re.search(r"@[a-z]+@", page[n])],
      "every mark of the templates is filled in")

# --- margay(1) ---

def said(*arguments):
    return subprocess.run([margay, *arguments], capture_output=True, text=True,
                          timeout=60).stdout

def names_of(help_text):
    return set(re.findall(r"^  (--?[a-zA-Z]+)\b", help_text, re.M))

def commands_of(help_text):
    return set(re.findall(r"^  ([a-z]+) ", help_text, re.M))

def section(text, title):
    return re.search(rf"^\.SH {title}\n(.*?)(?=^\.SH |\Z)", text,
                     re.M | re.S).group(1)

whole = said("--help")
options = section(page["margay"], "OPTIONS")
shown = set(re.findall(r"^\.TP\n\.BI? (--?[a-zA-Z]+)", options, re.M))
same(names_of(whole), shown, "the options of --help are those of the page")
used = set(re.findall(r"(?<![\w-])(--?[a-zA-Z]+)",
                      whole.split("\n\n")[0].split("usage:")[1]))
check(used <= shown, "and what the usage names", f": {used - shown}")
commands = commands_of(whole)
same(commands, set(re.findall(r"^\.TP\n\.B ([a-z]+)$",
                              section(page["margay"], "DESCRIPTION"), re.M)),
     "its commands, too")
same(names_of(whole) - {"--version"},
     set().union(*(names_of(said(c, "--help")) for c in commands)),
     "an option of --help is one of a command's")
for command in sorted(commands):
    got = said(command, "--help")
    check(got.startswith(f"usage: margay {command} ") and
          commands_of(got) == {command},
          f"margay {command} --help is about {command}")
    for name in names_of(got):
        part = re.findall(rf"^\.TP\n\.BI? {name}\b.*\n((?:[^.].*\n)*)",
                          options, re.M)
        check(part and command in part[0].split("(")[-1],
              f"the page says that {command} takes {name}")

# --- server.xml(5) ---

def table_names(body):
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    return set(re.findall(r'\.name = "([^"]+)"', body) +
               re.findall(r'\bIGNORED\("([^"]+)"', body) +
               re.findall(r'\{"([^"]+)",\s*OPTION_', body))

tables = {}
for room in "container", "session", "managers":
    for path in glob.glob(f"{top}/{room}/**/*.c", recursive=True):
        text = open(path).read()
        for name, body in re.findall(
                r"^(?:static )?const struct option (\w+)\[\] = \{\n(.*?)^\};",
                text, re.M | re.S):
            names = table_names(body)
            if names:
                tables[f"{os.path.basename(path)} {name}"] = names

sections = {}
for part in re.split(r"^\.SS ", section(page["server.xml"], "ELEMENTS"),
                     flags=re.M)[1:]:
    pieces = re.split(r"^\.PP\n\.B (<.*)\n", part, flags=re.M)
    own = pieces[0].split("\n")[0]
    for title, body in zip([own] + pieces[1::2], [pieces[0]] + pieces[2::2]):
        names = re.findall(r"^\.TP\n\.B (.*)$", body, re.M)
        sections[title] = set(n for line in names for n in line.split(", "))
check(len(tables) > 30 and len(sections) > 40,
      "tables and sections are found", f"{len(tables)} {len(sections)}")
left_out = set() if "MemcachedStore" in page["server.xml"] else {
    "memcached_store.c"}
for table, names in sorted(tables.items()):
    if table.split()[0] in left_out:
        continue
    check(any(names <= s for s in sections.values()),
          f"{table} stands in the page",
          f": {sorted(names - set().union(*sections.values()))}")
for title, names in sorted(sections.items()):
    known = set().union(*(t for t in tables.values() if t <= names))
    same(names | {""}, known | {""}, f"what {title} has is read")

# --- margay-webapp(3) ---

header = open(top + "/container/servlet.h").read()
code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
function = r"\b((?:http|servlet)_\w+)\("
shown = re.sub(r"/\*.*?\*/", "",
               "\n".join(re.findall(r"^\.ft B\n(.*?)^\.ft R",
                                    page["margay-webapp"], re.M | re.S)),
               flags=re.S)
same(set(re.findall(function, code)), set(re.findall(function, shown)),
     "every function of servlet.h")
squeezed = re.sub(r"\s+", " ", page["margay-webapp"])
for comment in re.findall(r"^/\* (?!----)(?!SPDX)(.*?) ?\*/", header,
                          re.M | re.S):
    text = re.sub(r"\s+", " ", re.sub(r"\n \*", "\n", comment)).strip()
    check(text in squeezed, f"and what it says: {text[:40]}")

print(f"# cases {passed} {failed} {skipped}")
sys.exit(1 if failed else 0)
PYTHON
