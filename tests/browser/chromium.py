# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium, headless, as a person would use it.

It reaches 127.0.0.1 and nothing else."""
import base64
import contextlib
import json
import re

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from servers import slowness

PHONES = (390, 320)
WAIT_SECONDS = 15
LOADED = "return document.readyState === 'complete'"
# The status of the page itself, which a person does not see.
STATUS = ("return performance.getEntriesByType('navigation')[0]"
          ".responseStatus")
OWN_STATUS = re.compile(
    r"http://127\.0\.0\.1:\d+/login/\w*(\?\S*)? - Failed to load resource: "
    r"the server responded with a status of (400|401|404) ")


def start(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-default-apps",
            "--disable-client-side-phishing-detection",
            "--password-store=basic", "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--window-size=1280,900", f"--user-data-dir={folder}/profile"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.set_capability("unhandledPromptBehavior", "ignore")
    driver = webdriver.Chrome(
        service=Service("/usr/bin/chromedriver",
                        log_path=f"{folder}/chromedriver.log"),
        options=options)
    driver.set_page_load_timeout(WAIT_SECONDS * slowness())
    return Browser(driver)


class Browser:
    def __init__(self, driver):
        self.driver = driver

    def quit(self):
        with contextlib.suppress(WebDriverException):
            self.driver.quit()

    def fresh(self):
        """As if it had just been installed: no cookie, no word of before."""
        self.driver.get("about:blank")
        self.cdp("Network.clearBrowserCookies")
        self.cdp("Network.clearBrowserCache")
        self.desktop()
        self.scheme("light")
        self.driver.get_log("browser")

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def desktop(self):
        self.cdp("Emulation.clearDeviceMetricsOverride")

    def phone(self, width):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=844,
                 deviceScaleFactor=2, mobile=True)

    def scheme(self, name):
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"}])

    # --- looking ---

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def text(self, css):
        return self.one(css).text

    def path(self):
        return re.sub(r"^\w+://[^/]*", "", self.driver.current_url)

    def status(self):
        return self.run(STATUS)

    def cookies(self):
        return self.driver.get_cookies()

    def complaints(self):
        """What the console says. That a page of the application is an error
        by its own status is told there too, and no complaint."""
        return [json.dumps(entry) for entry in self.driver.get_log("browser")
                if entry["source"] != "network"
                or not OWN_STATUS.match(entry["message"])]

    # --- doing ---

    def open(self, url):
        self.driver.get(url)

    def leads_on(self, act):
        """Does what makes the next page come, and waits until it is there."""
        before = self.one("html")
        act()
        WebDriverWait(self.driver, WAIT_SECONDS * slowness(), 0.02).until(
            lambda _: self.is_another(before))

    def is_another(self, before):
        try:
            now = self.driver.find_elements(By.CSS_SELECTOR, "html")
            return now and now[0] != before and self.run(LOADED)
        except WebDriverException:
            return False  # between two pages

    def click(self, css):
        self.leads_on(self.one(css).click)

    def fill(self, css, text):
        field = self.one(css)
        field.clear()
        field.send_keys(text)

    def login(self, user="kim", password="margay"):
        self.fill("#user", user)
        self.fill("#password", password)
        self.click(".login button")

    def key(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def shot(self, file):
        """The whole page, not only what fits the window; where it is."""
        try:
            shot = self.cdp("Page.captureScreenshot",
                            captureBeyondViewport=True)
            file.write_bytes(base64.b64decode(shot["data"]))
        except WebDriverException as e:
            return f"none: {e.msg}"
        return str(file)
