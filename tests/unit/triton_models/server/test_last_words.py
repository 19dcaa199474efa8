from __future__ import annotations

from pathlib import Path

import pytest

from triton_models.backends.onnxruntime.lifeline import GIVEN_UP
from triton_models.server.last_words import ABORTED, last_words, starved

WITHOUT_A_PROCESSOR = f"""\
W1129 08:20:44.6 19626 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory"
E1129 08:20:44.7 19626 server.cc:241] "CudaDriverHelper has not been initialized."
I1129 08:20:44.8 19626 python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: minilm_0"
terminate called after throwing an instance of '{ABORTED}'
  what():  {ABORTED}
"""


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (1, 'E1129 08:20:44.6 7 main.cc:1] "a port is taken"\n', "a port is taken"),
        (1, "error: no licence\n", "error: no licence"),
        (2, "what it does\n", "exit status 2"),
        (139, 'I1129 08:20:44.6 7 main.cc:1] "loading"\n', "exit status 139, killed by SIGSEGV"),
        (255, "", "exit status 255"),
    ],
)
def test_an_end_is_told_by_its_errors_or_else_by_its_status(tmp_path: Path, status: int, text: str, said: str) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert not starved(log)
    assert last_words(status, log) == said


def test_a_server_without_a_processor_is_known_by_its_own_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(WITHOUT_A_PROCESSOR)
    assert starved(log)
    assert last_words(134, log).startswith(
        "the process of a model got no processor for a second, which this Triton takes for its death"
    )
    start = log.stat().st_size
    with log.open("a") as more:
        more.write("error: another start\n")
    assert not starved(log, start)
    assert last_words(1, log, start) == "error: another start"


def test_a_server_that_was_ended_before_it_gave_wrong_answers_is_known_by_the_line_of_its_process(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.write_text(f"{GIVEN_UP}, because it gave no sign of life for a second\n")
    assert starved(log)
    assert "got no processor for a second" in last_words(137, log)


def test_of_a_long_log_the_end_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("error: long ago\n" + "I 1234] all is well\n" * 10_000 + WITHOUT_A_PROCESSOR)
    assert starved(log)
    log.write_text("error: long ago\n" + "I 1234] all is well\n" * 10_000)
    assert last_words(134, log) == "exit status 134, killed by SIGABRT"
