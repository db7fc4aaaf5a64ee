# SPDX-License-Identifier: Apache-2.0
"""What a person does with the sample application, and what must come of it.

Each case runs once on every set of servers that run.py starts: `servers` and
`browser` are set by it. A case may kill instances; they are started again."""
import unittest

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import chromium
import look

KEEPS = {"delta": "DeltaManager", "sqlite": "SQLite"}
LONG = "unbroken" * 60
SCRIPT = "<script>document.title='owned'</script><b>&amp;\"'"


class Journey(unittest.TestCase):
    servers = browser = None
    album = None  # a folder for pictures of all pages
    longMessage = True

    def setUp(self):
        self.servers.start()
        self.browser.fresh()

    def at(self, number, path="/login/"):
        self.browser.open(self.servers.instances[number].url(path))

    def login_at(self, number, user="kim"):
        self.at(number)
        self.browser.login(user)
        self.assertEqual(self.browser.text("h1"), f"Hello, {user}")

    def put(self, key, value):
        self.browser.fill("#put-k", key)
        self.browser.fill("#put-v", value)
        self.browser.click("form[action$='/put'] button")
        self.assertEqual(self.browser.text("h1"), "Kept in your session")

    def get(self, key):
        self.browser.fill("#get-k", key)
        self.browser.click("form[action$='/get'] button")
        return self.browser.text("pre.value")

    def hit(self):
        self.browser.click("form[action$='/hit'] button")
        return self.browser.text(".hits b")

    def logout(self):
        self.browser.click("form[action$='/logout'] button")

    def good(self, script, *about):
        self.assertEqual(self.browser.run(script), [], " ".join(
            [self.browser.driver.current_url, *map(str, about)]))

    def answered_by(self, number):
        node = self.servers.instances[number].node
        self.assertEqual(self.browser.text(".badge b"), node)

    def pages(self):
        """Every kind of page, one after the other, in the browser."""
        for page in self.each_page():
            if self.album:
                words = [self.servers.kind, page, *map(
                    str, self.browser.run(look.CIRCUMSTANCES))]
                self.browser.shot(self.album / (
                    "-".join(words).replace(" ", "_") + ".png"))
            yield page

    def each_page(self):
        b = self.browser
        self.at(0)
        yield "the form"
        b.login("nobody", "wrong")
        yield "wrong password"
        self.at(0, "/login/hello")
        yield "hello"
        self.at(0)
        b.login()
        yield "logged in"
        self.hit()
        yield "hit"
        self.put("long", LONG)
        yield "put"
        self.get("long")
        yield "get"
        b.run("document.querySelector('details').open = true")
        yield "what a program gets"
        self.at(0, "/login/get?k=nothing")
        yield "no such key"
        self.at(0, "/login/")
        self.logout()
        yield "bye"
        self.at(0, "/login/me")
        yield "why logged out"
        self.at(0, "/")
        yield "welcome"


class Person(Journey):
    def test_logs_in_by_the_form(self):
        b = self.browser
        self.at(0)
        self.assertEqual(b.status(), 200)
        self.assertEqual(b.text("h1"), "Who is there?")
        self.assertEqual(b.cookies(), [], "nobody is known before a login")
        self.answered_by(0)
        self.assertIn(KEEPS[self.servers.kind], b.text(".house"))
        b.login()
        self.assertEqual(b.path(), "/login/me")
        self.assertEqual(b.status(), 200)
        self.assertEqual(b.text("h1"), "Hello, kim")
        self.assertEqual(b.driver.title, "Hello, kim · Margay")
        self.assertEqual(b.text(".who b"), "kim")
        self.assertEqual(b.text(".hits b"), "0")
        self.assertIn(KEEPS[self.servers.kind], b.text(".session"))
        self.assertEqual(b.all(".login"), [], "no form for who is in")
        self.answered_by(0)

    def test_has_one_cookie_that_no_script_reads(self):
        self.login_at(0)
        cookie, = self.browser.cookies()
        self.assertEqual(cookie["name"], "JSESSIONID")
        self.assertRegex(cookie["value"], r"^[0-9A-F]{32}\.node1$")
        self.assertEqual(cookie["path"], "/login")
        self.assertTrue(cookie["httpOnly"])
        self.assertEqual(cookie["sameSite"], "Lax")
        self.assertNotIn("expiry", cookie)
        self.assertEqual(self.browser.run("return document.cookie"), "")
        self.assertNotIn(cookie["value"][:32], self.browser.driver.page_source)

    def test_is_known_at_every_port(self):
        b = self.browser
        self.login_at(0)
        before = b.cookies()
        for turn in range(2 * len(self.servers.instances)):
            number = turn % len(self.servers.instances)
            self.at(number)
            self.assertEqual(b.text("h1"), "Hello, kim")
            self.answered_by(number)
            self.assertEqual(self.hit(), str(turn + 1))
            self.answered_by(number)
        self.assertEqual(b.cookies(), before, "the session keeps its id")
        self.put("where", "at the last")
        self.at(0)
        self.assertEqual(self.get("where"), "at the last")

    def test_is_told_why_after_logout(self):
        b = self.browser
        self.login_at(0)
        self.logout()
        self.assertEqual((b.text("h1"), b.status()), ("Bye", 200))
        self.assertEqual(len(b.all(".login form")), 1, "and may log in again")
        for number in range(len(self.servers.instances)):
            self.at(number, "/login/me")
            self.assertEqual(b.status(), 401)
            self.assertEqual(b.text("h1"), "You have logged out")
            self.assertIn("here, in another window", b.text(".notice p"))
            self.answered_by(number)
        b.login("lee")
        self.assertEqual(b.text("h1"), "Hello, lee")

    def test_sees_nothing_of_before_with_the_back_button(self):
        b = self.browser
        self.login_at(0)
        self.put("secret", "of kim")
        self.get("secret")
        self.at(0, "/login/me")
        self.logout()
        b.leads_on(b.driver.back)
        self.assertEqual(b.text("h1"), "You have logged out")
        b.leads_on(b.driver.back)
        self.assertNotIn("of kim", b.text("body"))

    def test_in_a_second_window_is_logged_out_as_well(self):
        b = self.browser
        self.login_at(0)
        first = b.driver.current_window_handle
        b.driver.switch_to.new_window("window")
        try:
            self.at(1)
            self.assertEqual(b.text("h1"), "Hello, kim")
            self.logout()
        finally:
            b.driver.close()
            b.driver.switch_to.window(first)
        self.hit_refused("You have logged out")

    def hit_refused(self, title):
        self.browser.click("form[action$='/hit'] button")
        self.assertEqual(self.browser.status(), 401)
        self.assertEqual(self.browser.text("h1"), title)

    def test_with_a_wrong_password_stays_outside(self):
        b = self.browser
        self.at(0)
        b.login("kim", "magray")
        self.assertEqual(b.status(), 401)
        self.assertEqual(b.text("h1"), "Wrong user or password")
        self.assertEqual(b.one("#user").get_attribute("value"), "kim")
        self.assertEqual(b.one("#password").get_attribute("value"), "")
        self.assertEqual(b.cookies(), [], "no session came of it")
        self.at(0, "/login/me")
        self.assertEqual(b.status(), 401)
        self.assertEqual(b.text("h1"), "Who is there?")
        b.login("kim", "margay")
        self.assertEqual(b.text("h1"), "Hello, kim")

    def test_may_not_leave_a_field_empty(self):
        b = self.browser
        self.at(0)
        b.fill("#user", "kim")
        b.one(".login button").click()
        self.assertEqual(b.path(), "/login/", "the browser keeps the form")
        self.assertTrue(b.run(
            "return document.querySelector('#password').matches(':invalid')"))

    def test_sees_what_was_typed_and_runs_none_of_it(self):
        b = self.browser
        self.at(0)
        b.login('"><script>document.title="owned"</script>', SCRIPT)
        self.assertEqual(b.one("#user").get_attribute("value"),
                         '"><script>document.title="owned"</script>')
        b.login()
        self.put("x", SCRIPT)
        self.assertEqual(self.get("x"), SCRIPT)
        self.assertNotIn("owned", b.driver.title)
        self.assertEqual(b.all("main script, main b b"), [])

    def test_goes_on_when_the_instance_is_killed(self):
        b, last = self.browser, len(self.servers.instances) - 1
        self.login_at(last)
        self.put("kept", "over a kill")
        self.assertEqual(self.hit(), "1")
        self.servers.instances[last].kill()
        with self.assertRaises(WebDriverException) as refused:
            self.at(last)
        self.assertIn("ERR_CONNECTION_REFUSED", str(refused.exception))
        for number in range(last):
            self.at(number, "/login/me")
            self.assertEqual((b.status(), b.text("h1")), (200, "Hello, kim"))
            self.answered_by(number)
            self.assertEqual(self.get("kept"), "over a kill")
            self.assertEqual(self.hit(), str(number + 2))
        b.driver.get_log("browser")  # the refused page, which was expected
        self.servers.start()
        self.at(last, "/login/me")
        self.assertEqual(b.text("h1"), "Hello, kim")
        self.assertEqual(b.text(".hits b"), str(last + 1))
        self.answered_by(last)


class Page(Journey):
    def test_fits_a_phone(self):
        for width in chromium.PHONES:
            self.browser.fresh()
            self.browser.phone(width)
            for page in self.pages():
                with self.subTest(page=page, width=width):
                    self.assertEqual(
                        self.browser.run("return innerWidth"), width)
                    self.good(look.WIDTH, page, width)
                    self.good(look.FINGER, page, width)

    def test_is_readable_in_light_and_dark(self):
        for scheme, low, high in (("light", 0.7, 1), ("dark", 0, 0.1)):
            self.browser.fresh()
            self.browser.scheme(scheme)
            for page in self.pages():
                with self.subTest(page=page, scheme=scheme):
                    self.good(look.CONTRAST, page, scheme)
                    bright = self.browser.run(look.BRIGHTNESS)
                    self.assertTrue(low <= bright <= high, (page, bright))
            self.at(0)
            self.good(look.HUES, scheme)

    def test_has_a_structure_and_labels(self):
        for page in self.pages():
            with self.subTest(page=page):
                self.good(look.STRUCTURE, page)
                for e in self.browser.all("input, button, a[href]"):
                    self.assertTrue(e.accessible_name, page)
        self.at(0)
        b = self.browser
        for css, name, kind, remembered in (
                ("#user", "User", "text", "username"),
                ("#password", "Password", "password", "current-password")):
            field = b.one(css)
            self.assertEqual(field.accessible_name, name)
            self.assertEqual(field.get_attribute("type"), kind)
            self.assertEqual(field.get_attribute("autocomplete"), remembered)
        b.one("label[for=user]").click()
        self.assertEqual(b.focused().get_attribute("id"), "user")
        self.assertEqual(b.one(".notice").aria_role, "status")

    def test_says_nothing_in_the_console(self):
        for page in self.pages():
            with self.subTest(page=page):
                self.assertEqual(self.browser.complaints(), [], page)

    def test_loads_nothing_that_is_not_there(self):
        for page in self.pages():
            with self.subTest(page=page):
                self.assertEqual(self.browser.run(
                    "return performance.getEntriesByType('resource').filter("
                    "e => e.responseStatus !== 200 || "
                    "!e.name.startsWith(location.origin)).map(e => e.name)"),
                    [], page)
                self.assertNotEqual(self.browser.run(
                    "return document.styleSheets.length"), 0, page)


class Keyboard(Journey):
    def tab_to(self, what, at_most=12):
        """Tabs on, and each stop shows where it is."""
        for _ in range(at_most):
            self.browser.key(Keys.TAB)
            self.good(look.FOCUS)
            name = self.browser.focused().accessible_name
            if name == what:
                return
        self.fail(f"{what} is not reached by {at_most} tabs, but {name}")

    def test_alone_is_enough(self):
        b = self.browser
        self.at(0)
        self.tab_to("User", 3)
        b.key("kim")
        self.tab_to("Password", 1)
        b.key("margay")
        b.leads_on(lambda: b.key(Keys.ENTER))
        self.assertEqual(b.text("h1"), "Hello, kim")
        self.tab_to("Hit", 3)
        b.leads_on(lambda: b.key(Keys.SPACE))
        self.assertEqual(b.text(".hits b"), "1")
        self.tab_to("Key to put")
        b.key("k")
        self.tab_to("Value", 1)
        b.key("typed")
        self.tab_to("Put", 1)
        b.leads_on(lambda: b.key(Keys.ENTER))
        self.tab_to("Key to get")
        b.key("k")
        b.leads_on(lambda: b.key(Keys.ENTER))
        self.assertEqual(b.text("pre.value"), "typed")
        self.tab_to("What a program gets here")
        self.assertFalse(b.one("details pre").is_displayed())
        b.key(Keys.SPACE)
        self.assertTrue(b.one("details pre").is_displayed())
        self.tab_to("Who am I?", 2)
        b.leads_on(lambda: b.key(Keys.ENTER))
        self.tab_to("Log out")
        b.leads_on(lambda: b.key(Keys.ENTER))
        self.assertEqual(b.text("h1"), "Bye")

    def test_goes_from_top_to_bottom(self):
        self.login_at(0)
        stops = []
        while True:
            self.browser.key(Keys.TAB)
            e = self.browser.focused()
            if e.tag_name == "body" or e in stops:
                break
            stops.append(e)
            self.assertLess(len(stops), 30)
        there = self.browser.all("input, button, a[href], summary")
        self.assertEqual(set(stops), set(there), "everything is reached")
        order = self.browser.run(
            "return arguments[0].map(e => { const s = e.closest("
            "'header, section, details, footer'); "
            "return s.getBoundingClientRect().top; })", stops)
        self.assertEqual(order, sorted(order))
