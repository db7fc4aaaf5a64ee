#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [CASE]...: the sample application, as a person sees it: Debian's
Chromium on three members of a cluster, then on two instances that share a
SQLite file. A case is named Class.test, or by a part of it.

MARGAY_STAGE is an installation. Prints `ok N - ...` or `not ok ...` for each
case, the path of a screenshot where one failed (in MARGAY_BROWSER_KEEP, else
in a new folder under TMPDIR), and `# cases P F S` at the end. Exits with 77
when there is no browser here. MARGAY_BROWSER_ALBUM is a folder for pictures of
every page, light, dark and on a phone, for somebody who wants to see them."""
import os
import pathlib
import shutil
import sys
import tempfile
import traceback
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
SETS = (("delta", 3), ("sqlite", 2))


def skip(why):
    print(f"skipped {why}\n# cases 0 0 1")
    sys.exit(77)


class Report(unittest.TestResult):
    """Counts cases; of a failed one it keeps what could be seen."""

    def __init__(self, kind, browser, keep, begin):
        super().__init__()
        self.kind, self.browser, self.keep = kind, browser, keep
        self.passed, self.failed, self.begin = 0, 0, begin
        self.reasons = []

    def startTest(self, test):
        super().startTest(test)
        self.reasons = []

    def note(self, test, error):
        name = f"{self.kind}-{test._testMethodName[5:]}-{len(self.reasons)}"
        self.keep.mkdir(parents=True, exist_ok=True)
        shot = self.browser.shot(self.keep / f"{name}.png")
        lines = "".join(traceback.format_exception(*error)[-2:])
        self.reasons.append(f"{lines.strip()}\nscreenshot: {shot}")

    def addError(self, test, err):
        self.note(test, err)

    def addFailure(self, test, err):
        self.note(test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.note(test, err)

    def stopTest(self, test):
        super().stopTest(test)
        number = self.begin + self.passed + self.failed + 1
        words = type(test).__name__ + test._testMethodName[4:]
        name = f"{number} - {self.kind}: {words.replace('_', ' ').lower()}"
        if self.reasons:
            self.failed += 1
            print(f"not ok {name}")
            for reason in self.reasons:
                print("#   " + reason.replace("\n", "\n#   "))
        else:
            self.passed += 1
            print(f"ok {name}")
        sys.stdout.flush()


def cases(wanted):
    import journeys
    found = unittest.TestSuite()
    for group in unittest.defaultTestLoader.loadTestsFromModule(journeys):
        for case in group:
            name = f"{type(case).__name__}.{case._testMethodName}"
            if not wanted or any(part in name for part in wanted):
                found.addTest(case)
    return found


def main():
    try:
        import selenium  # noqa: F401
    except ImportError:
        skip("no selenium: install python3-selenium")
    for command, package in (("chromium", "chromium"),
                             ("chromedriver", "chromium-driver")):
        if not shutil.which(command):
            skip(f"no {command}: install {package}")
    stage = os.environ.get("MARGAY_STAGE", "build")
    if not os.access(f"{stage}/bin/margay", os.X_OK):
        skip(f"no server at {stage}/bin/margay: set MARGAY_STAGE")

    import chromium
    import journeys
    from servers import Servers
    passed = failed = 0
    work = pathlib.Path(tempfile.mkdtemp(prefix="margay-browser-"))
    keep = pathlib.Path(os.environ.get("MARGAY_BROWSER_KEEP") or
                        tempfile.gettempdir() + "/margay-browser-failed")
    browser, sets = None, [Servers(kind, count, stage, work)
                           for kind, count in SETS]
    try:
        browser = chromium.start(work)
        print(f"# {browser.driver.capabilities['browserName']} "
              f"{browser.driver.capabilities['browserVersion']}")
        journeys.Journey.browser = browser
        if os.environ.get("MARGAY_BROWSER_ALBUM"):
            journeys.Journey.album = pathlib.Path(
                os.environ["MARGAY_BROWSER_ALBUM"])
            journeys.Journey.album.mkdir(parents=True, exist_ok=True)
        for servers in sets:
            journeys.Journey.servers = servers
            servers.start()
            report = Report(servers.kind, browser, keep, passed + failed)
            cases(sys.argv[1:]).run(report)
            passed, failed = passed + report.passed, failed + report.failed
            servers.stop()
    finally:
        if browser:
            browser.quit()
        for servers in sets:
            servers.stop()
        if failed:
            for log in work.glob("*-node*.log"):
                shutil.copy(log, keep)
                print(f"# log: {keep / log.name}")
        shutil.rmtree(work, ignore_errors=True)
    print(f"# cases {passed} {failed} 0")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
