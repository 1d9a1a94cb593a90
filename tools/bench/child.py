"""Runs one command and writes its resource usage: `python child.py FILE COMMAND…`.

It is a separate process because a child's peak memory includes that of the process that started it: this one is small,
the measuring one is not. It imports little for the same reason. Times are from the monotonic clock, which all processes
of a machine share.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    path, *command = sys.argv[1:]
    started = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(pid, 0)
    usage = {
        "code": os.waitstatus_to_exitcode(status),
        "started": started,
        "ended": time.monotonic(),
        "cpu": used.ru_utime + used.ru_stime,
        # Linux counts in KiB, macOS in bytes.
        "peak": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(usage, file)
