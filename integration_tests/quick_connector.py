"""`python -m integration_tests.quick_connector FOLDER VERB …`: the connector for tests that kill an archive.

FOLDER holds catalog.json, with which `discover` is answered, and gets the file lock, which `read` locks as long as it
runs. `check` succeeds at once: like `discover`, it would only load the CDK once more. `read` is the real connector in a
hurry, which prints states without waiting ten minutes.
"""

import fcntl
import json
import os
import sys
from pathlib import Path


def main(folder: Path, verb: str, *flags: str) -> None:
    if verb == "check":
        print(json.dumps({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}))
    elif verb == "discover":
        print(json.dumps({"type": "CATALOG", "catalog": json.loads((folder / "catalog.json").read_text())}))
    else:
        # Held until this process ends.
        fcntl.flock(os.open(folder / "lock", os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
        from integration_tests.hurried import Pace, hurry
        from source_drift.archive import child

        hurry(Pace(state_seconds=0.05))
        child.main([verb, *flags])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
