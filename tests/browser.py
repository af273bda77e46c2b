"""A real browser for tests: Chromium, told what to do over its own DevTools protocol.

The protocol goes over two pipes, JSON ended by a zero byte. So there is no port to be free, no driver whose version has to fit
the browser's, and no package to install; and a browser whose pipes are closed ends by itself.

References
----------
.. [1] Chrome DevTools Protocol, https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time

from needs import lacking

PATHS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers, where it cannot be set up
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
ANSWER_WITHIN_S = 60.0
UNTIL_S = 60.0  # the machine may have other things to do


def chromium():
    """Path of the browser. Where CI is set it has to be there; elsewhere the test is skipped, and says what was not tested."""
    path = next(filter(None, map(shutil.which, PATHS)), None)
    if path is None:
        lacking("chromium", "apt-get install chromium; the page was NOT tested in a browser")
    return path


class Browser:
    """A browser with a profile of its own, until the end of the block."""

    def __init__(self, folder):
        self._folder = folder
        self._number = 0
        self._received = b""
        self._events = []

    def __enter__(self):
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        profile = self._folder / "profile"
        # The browser reads from 3 and writes to 4; a shell puts the pipes there whatever numbers they have here.
        command = f'exec "$@" 3<&{commands} 4>&{answers}'
        with (self._folder / "browser.txt").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", command, "bash", chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                pass_fds=(commands, answers),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"HOME": str(self._folder), "TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8"},
            )
        os.close(commands)
        os.close(answers)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, AssertionError):
            self.send("Browser.close")
        os.close(self._to)
        os.close(self._from)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its helpers too
        self._process.wait()

    def tab(self, **kept):
        """A new tab in a session of its own: nothing of another tab is known there."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, session, **kept)

    def send(self, method, session=None, **parameters):
        """Ask for something; the result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            answer = self._message(deadline, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._events.append(answer)

    def events(self, session):
        """What has happened in a tab since it was last asked."""
        self.send("Browser.getVersion")  # whatever happened before has been received before the answer
        mine = [event for event in self._events if event.get("sessionId") == session]
        self._events = [event for event in self._events if event.get("sessionId") != session]
        return mine

    def _message(self, deadline, method):
        while b"\0" not in self._received:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._from], [], [], left)[0]
            piece = os.read(self._from, 1 << 20) if ready else b""
            assert piece, f"the browser does not answer to {method}: {self._log()}"
            self._received += piece
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def _log(self):
        return (self._folder / "browser.txt").read_text(errors="replace")[-2000:]


class Tab:
    """One tab."""

    def __init__(self, browser, session, *, width=1280, height=900, dark=False):
        self._browser, self._session = browser, session
        self.faults = []
        """Console errors, exceptions and refusals of the security policy so far."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")
        scheme = "dark" if dark else "light"
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.resize(width, height)

    def _send(self, method, **parameters):
        return self._browser.send(method, self._session, **parameters)

    def resize(self, width, height=900):
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def offline(self, *, offline):
        """Cut the connection, or mend it."""
        self._send(
            "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    def open(self, url):
        """Go to an address."""
        answer = self._send("Page.navigate", url=url)
        assert "errorText" not in answer, answer

    def run(self, script):
        """Value of an expression, which may be a promise."""
        answer = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, script, within_s=UNTIL_S):
        """Wait until an expression is true; its value."""
        deadline = time.monotonic() + within_s
        while True:
            with contextlib.suppress(AssertionError):  # the document may be about to be replaced
                if value := self.run(f"(found => found instanceof Node || found)({script})"):
                    return value
            assert time.monotonic() < deadline, f"never true: {script}\n{self.text()}\n{self.read_faults()}"
            time.sleep(0.05)

    def text(self, selector="body"):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText")

    def click(self, selector):
        """A real click of the mouse, in the middle of an element."""
        where = self.run(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.scrollIntoView({{ block: "center" }});
                const box = element.getBoundingClientRect();
                return [box.left + box.width / 2, box.top + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def press(self, key):
        """A key, such as Tab or Enter."""
        code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def type(self, text):
        self._send("Input.insertText", text=text)

    def read_faults(self):
        """Faults of the page itself so far."""
        for event in self._browser.events(self._session):
            given = event["params"]
            match event["method"]:
                case "Runtime.exceptionThrown":
                    self.faults.append(given["exceptionDetails"]["exception"].get("description"))
                case "Runtime.consoleAPICalled" if given["type"] in {"error", "warning", "assert"}:
                    self.faults.append(
                        [argument.get("value", argument.get("description")) for argument in given["args"]]
                    )
                case "Log.entryAdded" if given["entry"]["level"] in {"error", "warning"}:
                    self.faults.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
        return self.faults

    def screenshot(self, path, *, whole=False):
        """A picture as PNG, of what is seen or of the whole page."""
        answer = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
