# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A headless Chromium, unpacked and never installed: what a page looks like and does where people read it.

The program comes from the distribution's packages (:mod:`debian`), its fonts too, so a page looks the same on every
machine. It is driven by its DevTools protocol through two pipes (``--remote-debugging-pipe``): the standard library is
enough for that, no port is open that others could use, and when this process dies the browser sees the end of its pipe
and ends as well. Everything that it writes lies in a temporary folder.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import signal
import tempfile
import time
import typing as t
from pathlib import Path

import debian
from debian import Unavailable

__all__ = ("Browser", "BrowserError", "Page", "Unavailable", "unpacked")

#: Of several families the first one that has a letter gives it: DejaVu has the symbols that Liberation lacks.
_PACKAGES = ("chromium", "chromium-common", "fonts-liberation", "fonts-dejavu-core")
_FAMILIES = {
    "sans-serif": ("Liberation Sans", "DejaVu Sans"),
    "sans": ("Liberation Sans", "DejaVu Sans"),
    "serif": ("Liberation Serif", "DejaVu Serif"),
    "monospace": ("Liberation Mono", "DejaVu Sans Mono"),
}
_FLAGS = (
    "--headless", "--remote-debugging-pipe",
    # Only pages of this checkout are shown, and neither root nor a container has what the sandbox needs.
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    # It asks nobody for anything by itself.
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
    "--disable-default-apps", "--disable-extensions", "--no-default-browser-check", "--no-first-run", "--no-pings",
    "--disable-breakpad", "--disable-crash-reporter", "--password-store=basic", "--use-mock-keychain",
    "--force-color-profile=srgb", "--font-render-hinting=none",
)
#: In the browser the pipes have these numbers: it reads from the first and writes to the second.
_READS, _WRITES = 3, 4
_SECONDS = 30.0
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "Escape": (27, "")}


class BrowserError(Exception):
    """The browser refused a command, or did not answer in time."""


def unpacked() -> Path:
    """The folder with Chromium and its fonts, filled on first use. Raises :class:`Unavailable`."""
    return debian.unpacked(*_PACKAGES)


class Browser:
    """A running Chromium. A context manager. One is enough for many pages.

    Raises :class:`Unavailable` where there can be none, :class:`BrowserError` with its words when it does not start.
    """

    def __init__(self) -> None:
        self._root = unpacked()
        self._folder = tempfile.TemporaryDirectory(prefix="securemail-browser-", ignore_cleanup_errors=True)
        self._pending = b""
        self._number = 0
        self._pages: dict[str, Page] = {}
        self._pid: int | None = None
        try:
            self._start()
            self.version: str = self.command("Browser.getVersion")["product"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def page(
        self, path: Path, *, width: int = 1280, height: int = 900, scale: float = 1.0, colours: str = "light",
        medium: str = "screen", scripts: bool = True,
    ) -> "Page":
        """A page of its own with the file at ``path``, loaded. A context manager.

        ``width`` and ``height`` are those of the window in CSS pixels, ``scale`` is the number of picture elements for
        each of them; ``colours`` (``light``, ``dark``) is what the reader prefers; ``medium`` is ``screen`` or
        ``print``; ``scripts`` False is a browser in which scripts are switched off.
        """
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.command(f"{domain}.enable")
        page.command("Emulation.setFocusEmulationEnabled", enabled=True)
        page.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        page.resize(width, height, scale)
        # Where nothing is named, paper is paper and a screen is a screen.
        page.command("Emulation.setEmulatedMedia", media="" if medium == "screen" else medium,
                     features=[{"name": "prefers-color-scheme", "value": colours}])
        page.load(path)
        return page

    def command(self, method: str, *, session: str = "", **parameters: t.Any) -> dict[str, t.Any]:
        """One command of the DevTools protocol and its result. Raises :class:`BrowserError`."""
        self._number += 1
        number = self._number
        message: dict[str, t.Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._write(json.dumps(message).encode() + b"\0", method)
        end = time.monotonic() + _SECONDS
        while True:
            answer = self._read(end, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message')}")
                return answer["result"]
            self._event(answer)

    def wait(self, page: "Page", event: str) -> None:
        """Until ``page`` has met ``event``. Raises :class:`BrowserError` when that takes too long."""
        end = time.monotonic() + _SECONDS
        while event not in page.events:
            self._event(self._read(end, event))

    def forget(self, session: str) -> None:
        """Events of this session are of no interest any more."""
        self._pages.pop(session, None)

    def close(self) -> None:
        """End the browser and all that it started."""
        if self._pid is not None:
            try:
                self.command("Browser.close")
                end = time.monotonic() + 5
                while True:
                    self._read(end, "Browser.close")
            except (BrowserError, OSError):
                # The end of its pipe, mostly.
                pass
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(self._pid, 0)
            self._pid = None
            os.close(self._to)
            os.close(self._from)
        self._folder.cleanup()

    # --- inside ---------------------------------------------------------------------------------

    def _start(self) -> None:
        folder = Path(self._folder.name)
        (folder / "fonts.conf").write_text(_fonts(self._root, folder), encoding="utf-8")
        program = str(self._root / "usr" / "lib" / "chromium" / "chromium")
        variables = debian.environment(self._root) | {
            "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache"),
            "TMPDIR": str(folder), "FONTCONFIG_FILE": str(folder / "fonts.conf"), "LC_ALL": "C.UTF-8",
        }
        # High numbers: in the new process the low ones are overwritten in turn.
        ours_out, its_in, its_out, ours_in = (_high(number) for pair in (os.pipe()[::-1], os.pipe()[::-1])
                                              for number in pair)
        self._to, self._from = ours_out, ours_in
        try:
            self._pid = os.posix_spawn(
                program, [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"], variables,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, str(folder / "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                    (os.POSIX_SPAWN_DUP2, its_in, _READS), (os.POSIX_SPAWN_DUP2, its_out, _WRITES),
                ],
                setpgroup=0,
            )
        except BaseException:
            os.close(ours_out)
            os.close(ours_in)
            raise
        finally:
            os.close(its_in)
            os.close(its_out)

    def _write(self, data: bytes, what: str) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._to, view):]
        except BrokenPipeError:
            raise BrowserError(f"{what}: Chromium has ended: {self._log()}") from None

    def _read(self, end: float, what: str) -> dict[str, t.Any]:
        """The next message. Raises :class:`BrowserError` at the time ``end``, or when there will be no more."""
        while b"\0" not in self._pending:
            if not select.select([self._from], [], [], max(0.0, end - time.monotonic()))[0]:
                raise BrowserError(f"{what}: Chromium did not answer in {_SECONDS:.0f} s")
            data = os.read(self._from, 1 << 20)
            if not data:
                raise BrowserError(f"{what}: Chromium has ended: {self._log()}")
            self._pending += data
        message, _zero, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def _event(self, message: dict[str, t.Any]) -> None:
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.met(message["method"], message.get("params", {}))

    def _log(self) -> str:
        log = Path(self._folder.name) / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""


class Page:
    """One page. Made by :meth:`Browser.page`."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        #: Names of the events that the page has met.
        self.events: set[str] = set()
        #: The address of everything that the page asked for, its own file included.
        self.requests: list[str] = []
        #: What the browser says to developers: errors, warnings and what scripts write.
        self.console: list[str] = []

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def command(self, method: str, **parameters: t.Any) -> dict[str, t.Any]:
        """One command of the DevTools protocol for this page. Raises :class:`BrowserError`."""
        return self._browser.command(method, session=self._session, **parameters)

    def load(self, path: Path) -> None:
        """Show the file at ``path``; back when everything of it is there."""
        self.events.discard("Page.loadEventFired")
        failed = self.command("Page.navigate", url=path.resolve().as_uri()).get("errorText")
        if failed:
            raise BrowserError(f"{path}: {failed}")
        self._browser.wait(self, "Page.loadEventFired")

    def resize(self, width: int, height: int = 900, scale: float = 1.0) -> None:
        """Give the window another size, as :meth:`Browser.page` has it."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                     mobile=False)

    def evaluate(self, expression: str) -> t.Any:
        """The value of a JavaScript expression, a promise's too. It can be had where the page's own scripts are off."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details.get("text"))
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """One stroke of a key: ``Tab``, ``Enter``, ``Escape`` or a blank."""
        code, text = _KEYS[key]
        stroke = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code,
                  "modifiers": 8 if shift else 0}
        self.command("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **stroke)
        self.command("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def screenshot(self, *, top: float = 0, bottom: float | None = None) -> bytes:
        """A PNG of the page from ``top`` to ``bottom``, in CSS pixels from its beginning; None is its end."""
        width, end = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": top, "width": width, "height": (end if bottom is None else bottom) - top, "scale": 1}
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it is printed, on A4."""
        answer = self.command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True,
                              preferCSSPageSize=True)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """Close the page."""
        self._browser.forget(self._session)
        self._browser.command("Target.closeTarget", targetId=self._target)

    def met(self, event: str, parameters: dict[str, t.Any]) -> None:
        """Take note of an event."""
        self.events.add(event)
        if event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Runtime.consoleAPICalled":
            words = (str(one.get("value", one.get("description", ""))) for one in parameters["args"])
            self.console.append(f"{parameters['type']}: {' '.join(words)}")
        elif event == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.console.append(f"exception: {details.get('exception', {}).get('description') or details['text']}")
        elif event == "Log.entryAdded":
            entry = parameters["entry"]
            self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}".rstrip())


def _high(number: int) -> int:
    """The same open file with a number that no program expects anything of."""
    high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(number)
    return high


def _fonts(root: Path, folder: Path) -> str:
    """A configuration of fontconfig that knows the unpacked fonts and nothing of the machine's."""
    families = "".join(
        f"<alias binding='strong'><family>{family}</family><prefer>{''.join(f'<family>{n}</family>' for n in names)}"
        "</prefer></alias>" for family, names in _FAMILIES.items()
    )
    return (
        "<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'><fontconfig>"
        f"<dir>{root}/usr/share/fonts</dir><cachedir>{folder}/fonts</cachedir>{families}"
        # What is asked for by no name, or by one that nobody here knows.
        "<match target='pattern'><edit name='family' mode='append_last'><string>Liberation Sans</string></edit></match>"
        "</fontconfig>\n"
    )
