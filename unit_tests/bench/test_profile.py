"""How the benchmarks count py-spy's samples."""

from tools.bench.profile import PYTHON, counted

CDK = "read (/x/lib/python3.11/site-packages/airbyte_cdk/sources/reader.py:7)"
COPY = "deepcopy (/x/lib/python3.11/copy.py:146)"
COMPONENT = "rows_of (/x/components.py:12)"
START = "_bootstrap (/x/lib/python3.11/threading.py:1002)"


def test_a_sample_counts_for_the_innermost_function_outside_python() -> None:
    """The time of Python's own library counts for the function that called it."""
    assert counted(
        [
            f"{START};{CDK};{COPY};{COPY} 3",
            f"{START};{CDK};{COMPONENT} 2",
            f"{START};{COMPONENT};{CDK} 1",
            "loads (/x/lib/python3.11/site-packages/orjson.py:1) 4",
        ]
    ) == {("airbyte_cdk", "read"): 4, ("components.py", "rows_of"): 2, ("orjson", "loads"): 4}


def test_other_samples_count_for_python() -> None:
    """Frames without a file, such as the import system, and stacks of Python alone count for Python."""
    assert counted([f"{START} 1", "_find_and_load (<frozen importlib._bootstrap>:1176) 5", "<module> 1"]) == {
        (PYTHON, ""): 7
    }
