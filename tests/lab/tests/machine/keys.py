"""Types lines into a shell on a terminal, as a user does: SHELL LIST LINE...

Prints what became of each LINE after TAB, which the shell itself prints, and what the shell has shown for LIST after TAB
twice.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

READY = "ready> "
LIMIT = 240
QUIET = 3
ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cDEHMN])"
)


class Shell:
    def __init__(self, name):
        pid, self.terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
            os.execvp(name, [name, "-i"])
        self.raw = ""

    def read(self, wait):
        """Whether something has come within a time."""
        if not select.select([self.terminal], [], [], wait)[0]:
            return False
        text = os.read(self.terminal, 65536).decode(errors="replace")
        # fish asks what kind of terminal it has, and waits for an answer.
        if re.search(r"\x1b\[0?c", text):
            os.write(self.terminal, b"\x1b[?62;22c")
        self.raw += text
        return True

    def screen(self):
        return ESCAPES.sub("", self.raw).replace("\r", "")

    def wait(self, what):
        end = time.monotonic() + LIMIT
        while True:
            found = re.search(what, self.screen(), re.M)
            if found:
                return found
            if time.monotonic() > end:
                sys.exit(f"no {what} in {self.raw!r}")
            self.read(1)

    def press(self, keys):
        os.write(self.terminal, keys.encode())

    def until_quiet(self):
        end = time.monotonic() + LIMIT
        while self.read(QUIET) and time.monotonic() < end:
            pass

    def forget(self):
        self.raw = ""


shell = Shell(sys.argv[1])
shell.wait(re.escape(READY))
shell.until_quiet()
results = []
for line in sys.argv[3:]:
    shell.forget()
    shell.press(line + "\t")
    shell.until_quiet()
    # To the line's begin, and the shell prints what the line is.
    shell.press("\x01echo sa''id:")
    shell.until_quiet()
    shell.press("\r")
    results.append(shell.wait(r"^said:(.*)$").group(1).strip())
    shell.raw = shell.raw[shell.raw.index("said:") :]
    shell.wait(re.escape(READY))
    shell.until_quiet()
shell.forget()
shell.press(sys.argv[2] + "\t")
shell.until_quiet()
shell.press("\t")
shell.until_quiet()
results.append(shell.screen())
print(json.dumps(results))
