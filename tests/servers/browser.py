"""Chromium without a window, told what to do by its own protocol through a pipe: needs no package.

https://chromedevtools.github.io/devtools-protocol/ has the messages: JSON, each ended by a NUL.
"""

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from .require import require
from .waiting import PATIENCE, wait_until

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--disable-extensions", "--mute-audio"),
    *("--disable-breakpad", "--hide-scrollbars", "--remote-debugging-pipe"),
)


class Browser:
    """A Chromium with one page. A context: at its end, all of its processes are gone.

    Attributes:
        complaints: exceptions and errors that the page has logged.
        dialogs: texts of ``alert`` and the like.
    """

    def __init__(self) -> None:
        program = require("chromium")
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._answers: dict[int, queue.SimpleQueue[Any]] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._session: str | None = None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The shell puts the pipes where Chromium wants them; dash could not, see its "<&".
        words = [program, *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._child = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"HOME": self._folder.name},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            found = self._call("Target.getTargets")["targetInfos"]
            target = next(t["targetId"] for t in found if t["type"] == "page")
            attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        os.close(self._out)
        self._reader.join(PATIENCE)
        self._folder.cleanup()

    def _read(self) -> None:
        rest = b""
        with os.fdopen(self._in, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                *messages, rest = (rest + data).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))
        for answer in list(self._answers.values()):
            answer.put({"error": {"message": "Chromium has ended"}})

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"], None)
            if answer is not None:
                answer.put(message)
            return
        given = message.get("params", {})
        match message["method"]:
            case "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(f"{given['entry']['text']} {given['entry'].get('url')}")
            case "Page.javascriptDialogOpening":
                self.dialogs.append(given["message"])
                self._send("Page.handleJavaScriptDialog", {"accept": False})

    def _send(self, method: str, given: dict[str, Any]) -> queue.SimpleQueue[Any]:
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:  # dialogs are answered from the thread that reads
            self._count += 1
            self._answers[self._count] = answer
            message: dict[str, Any] = {"id": self._count, "method": method, "params": given}
            if self._session is not None:
                message["sessionId"] = self._session
            os.write(self._out, json.dumps(message).encode() + b"\0")
        return answer

    def _call(self, method: str, **given: Any) -> Any:
        message = self._send(method, given).get(timeout=PATIENCE)
        assert "error" not in message, f"{method}: {message['error']}"
        return message["result"]

    # What a person does and sees

    def open(self, url: str) -> None:
        """Open a page."""
        result = self._call("Page.navigate", url=url)
        assert not result.get("errorText"), result
        self.wait_for("document.readyState === 'complete'")

    def resize(self, width: int, height: int = 900, *, is_dark: bool = False) -> None:
        """Have a window of so many CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def hide(self, is_hidden: bool = True) -> None:
        """Have the page believe that it is in the background."""
        value = "hidden" if is_hidden else "visible"
        self.run(
            f"Object.defineProperty(document, 'hidden', {{value: {json.dumps(is_hidden)},"
            f" configurable: true}}); Object.defineProperty(document, 'visibilityState',"
            f" {{value: '{value}', configurable: true}});"
            " document.dispatchEvent(new Event('visibilitychange'))"
        )

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        result = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Wait until an expression is true in the page; return it."""
        found: list[Any] = []

        def look() -> bool:
            with contextlib.suppress(AssertionError):  # while it is being loaded
                found[:] = [self.run(script)]
            return bool(found and found[0])

        assert wait_until(look, PATIENCE, 0.03), f"never came true in the page: {script}"
        return found[0]

    def text(self, selector: str = "body") -> str:
        """Return the text that is seen."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        """Click in the middle of what a selector finds, as a mouse would: not what covers it."""
        x, y = self.run(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            " node.scrollIntoView({block: 'center'}); const b = node.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type text where the focus is."""
        self._call("Input.insertText", text=text)

    def press(self, key: str, *, with_shift: bool = False) -> None:
        """Press a key, such as ``Tab`` or ``Enter``."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=8 if with_shift else 0,
                **(text if kind == "keyDown" else {}),
            )

    def picture(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        made = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(made["data"]))
