"""Measures records per second of CPU time, compared with the plain CDK and a bare loop."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sandbox import Drift, Sandbox
from tools.bench.connector import UNLIMITED, read, unlimited
from tools.bench.process import Failed, spend
from tools.bench.report import Section, spread
from tools.bench.sizes import Sizes

PLAIN = Path(__file__).with_name("plain.yaml")
LIST_TARGET = 0.9


def measure(sizes: Sizes, _: Path) -> Section:
    """Records ÷ (CPU seconds of the process − those of a read of an empty Drift), `sizes.runs` times each."""
    section = Section("cpu", "Records per CPU second of the connector's process")
    section.columns = ["stream", "records", "requests", "records/CPU s", "ms CPU/request", "start-up CPU s"]
    section.columns += ["plain CDK", "share of it", "bare loop", "share of it", "peak MB"]
    with unlimited() as manifest:
        for stream in ("conversations", "accounts"):
            drift = Drift(conversations=sizes.listed, accounts=sizes.listed)
            share = _one(section, stream, stream, drift, manifest, sizes.runs)
            section.at_least(f"{stream}: records/CPU s ÷ plain CDK", share, LIST_TARGET, "{:.2f}")
        for conversations, mean in sizes.threads:
            drift = Drift(conversations=conversations, messages_per_conversation=mean)
            name = f"messages, {mean} per conversation"
            _one(section, name, "messages", drift, manifest, sizes.runs)
    section.notes = [
        "A temporary copy of the manifest removes the rate limit, so that the connector never waits. The plain CDK is "
        "plain.yaml, which has no checks, no state, and no cache through which other streams share the list of "
        "conversations. The bare loop is one thread with requests, orjson and print. "
        "Startup time is subtracted everywhere. The figures are medians, with the minimum and maximum of "
        f"{sizes.runs} runs in parentheses.",
    ]
    return section


def _one(section: Section, name: str, stream: str, drift: Drift, manifest: Path, runs: int) -> float:
    """Add a row, and return the records per CPU second as a share of the plain CDK's."""
    with Sandbox(Drift(conversations=0, accounts=0, contacts=0), UNLIMITED) as empty:
        idle = [read(empty, stream, manifest=manifest).usage.cpu for _ in range(runs)]
        plain_idle = [read(empty, stream, manifest=PLAIN).usage.cpu for _ in range(runs)]
        bare_idle = [_bare(empty, stream, 0) for _ in range(runs)]
    with Sandbox(drift, UNLIMITED) as sandbox:
        reads = [read(sandbox, stream, manifest=manifest) for _ in range(runs)]
        requests = len(sandbox.journal)
        records = reads[0].records[stream]
        plain = [records / (read(sandbox, stream, manifest=PLAIN).usage.cpu - median(plain_idle)) for _ in range(runs)]
        bare = [records / (_bare(sandbox, stream, records) - median(bare_idle)) for _ in range(runs)]
    cpu = [one.usage.cpu - median(idle) for one in reads]
    rates = [records / seconds for seconds in cpu]
    section.rows.append([name, f"{records:,}", f"{requests:,}", spread(rates), f"{median(cpu) / requests * 1000:.2f}"])
    section.rows[-1] += [spread(idle, "{:.2f}")]
    for other in (plain, bare):
        section.rows[-1] += [spread(other), f"{median(rates) / median(other):.0%}"]
    section.rows[-1] += [f"{max(one.usage.peak for one in reads) / 1e6:.0f}"]
    return median(rates) / median(plain)


def _bare(sandbox: Sandbox, stream: str, records: int) -> float:
    """CPU seconds of the bare loop."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tools.bench.bare", sandbox.url, stream]
        # Its output is discarded, which is the cheapest; the connector's is kept for the check.
        usage = spend(["/bin/sh", "-c", 'exec "$@" > /dev/null', "sh", *command], Path(folder))
        if usage.code:
            raise Failed(f"the bare loop of {stream} with {records:,} records ended with {usage.code}")
    return usage.cpu
