"""Lines of the protocol are read completely or refused, and states are echoed as text."""

import io
import json

import pytest
from destination_tests import record, state, status

from destination_drift.errors import InputError
from destination_drift.messages import Message, Output, Record, State, Status, read


def parsed(*lines: str | bytes) -> list[Message]:
    return list(read(line if isinstance(line, bytes) else (line + "\n").encode() for line in lines))


def test_messages_with_a_row_a_state_or_a_status_are_read() -> None:
    """Records keep their data and size, and every other type is skipped, like an empty line."""
    line = '{"type": "RECORD", "record": {"stream": "s", "namespace": "n", "data": {"id": 123456789012345678901}}}'
    others = ['{"type": "LOG", "log": {}}', '{"type": "TRACE", "trace": {"type": "ESTIMATE"}}', "", "  "]
    running = status("RUNNING")
    assert parsed("\ufeff" + line, *others, running, status("COMPLETE"), status("INCOMPLETE", "b")) == [
        Record(("n", "s"), {"id": 123456789012345678901}, len(line) + 4),
        Status((None, "contact"), True),
        Status((None, "b"), False),
    ]


@pytest.mark.parametrize(
    ("line", "stream"),
    [
        ('{"type":"STATE","id":7,"state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"s"}},"x":{}}}', "s"),
        (
            '{"state" : {"stream":{"stream_descriptor":{"name":"s"}}, "n": 123456789012345678901.10 } ,"type":"STATE"}',
            "s",
        ),
        ('{"type":"STATE","state":{"type":"GLOBAL","global":{}},"destinationStats":"state","a":"\\ud83d\\"}"}', None),
        ('{"type":"STATE","state":{"data":{"at":1}}, "state2": {}}', None),
        ('{"type":"STATE","state":{"a":1},"state":{}, "\u2028":"\u00e4"}', None),
    ],
)
def test_a_state_is_echoed_as_it_came(line: str, stream: str | None) -> None:
    """Only the statistics are added, at the end of the object; keys, numbers and spelling stay."""
    (message,) = parsed(line)
    assert isinstance(message, State)
    assert message.stream == (stream and (None, stream))
    echo = message.acknowledged(5, 2)
    added = '"destinationStats": {"recordCount": 5, "rejectedRecordCount": 2}'
    assert echo.replace(f", {added}", "").replace(added, "").replace(" ", "") == line.replace(" ", "")
    assert json.loads(echo)["state"]["destinationStats"] == {"recordCount": 5, "rejectedRecordCount": 2}
    assert {key: value for key, value in json.loads(echo).items() if key != "state"} == {
        key: value for key, value in json.loads(line).items() if key != "state"
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"canary\n", "is not valid JSON.", id="text"),
        pytest.param(b'{"type": "RECORD", "record": {"str', "has no line break: it was cut", id="cut"),
        pytest.param(b'{"type":"RECORD","record":{"stream":"s","data":{"x":NaN}}}\n', "contains NaN", id="NaN"),
        pytest.param(b'{"type":"RECORD","record":{"stream":"s","data":{"x":-Infinity}}}\n', "Infinity", id="Infinity"),
        pytest.param(b'{"type":"RECORD","record":{"stream":"s","data":{"x":1e999}}}\n', "range", id="too large"),
        pytest.param(b'{"type":"LOG","log":"' + b"[" * 100_000 + b"\n", "is not valid JSON.", id="string without end"),
        pytest.param(b"[" * 100_000 + b"\n", "is not valid JSON.", id="deep"),
        pytest.param(b'{"x": ' + b"1" * 5_000 + b"}\n", "is not valid JSON.", id="number of 5000 digits"),
        pytest.param(b'{"type":"LOG","log":"\xff"}\n', "is not UTF-8.", id="bytes"),
        pytest.param(b"[1]\n", "is not a message", id="array"),
        pytest.param(b'{"record":{"stream":"s","data":{}}}\n', "is not a message", id="no type"),
        pytest.param(b'{"type":"RECROD","record":{}}\n', "is not a message", id="unknown type"),
        pytest.param(b'{"type":"RECORD","record":{"stream":"s","data":[]}}\n', "is not a message", id="no object"),
        pytest.param(b'{"type":"RECORD","record":{"data":{}}}\n', "is not a message", id="no stream"),
        pytest.param(b'{"type":"STATE","state":null}\n', "is not a message", id="no state"),
        pytest.param(b'{"type":"STATE","state":{"stream":{"x":1}}}\n', "is not a message", id="no descriptor"),
    ],
)
def test_an_unusable_line_is_an_error(line: bytes, reason: str) -> None:
    """The error names the number and the length of the line, and what is wrong, but quotes nothing."""
    with pytest.raises(InputError, match=f"^Line 2 of the input \\({len(line)} bytes\\) .*{reason}") as error:
        parsed(record(), line)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert "canary" not in str(error.value)


def test_every_message_is_flushed() -> None:
    """A state is in the pipe as soon as it is printed, with all its characters."""
    file = io.BytesIO()
    buffered = io.BufferedWriter(file)
    Output(buffered).line(state("é"))
    assert file.getvalue().decode() == state("é") + "\n"
