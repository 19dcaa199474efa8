"""A secret among the arguments of a process is kept out of the process list, or taken out of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import until
from triton_models.server.masking import SECRET, masked, shown_by, start_unseen

KEY = "made-up-key-of-a-test"
READS_THEN_STARTS_A_THREAD = """
import sys, threading
words = sys.argv[1:]
print("read", flush=True)
sys.stdin.readline()
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("started", flush=True)
sys.stdin.readline()
print(*words, flush=True)
"""


TELLS_WHAT_IT_WAS_GIVEN = """
import pathlib, sys, time
time.sleep(0.2)
pathlib.Path(sys.argv[1]).write_text(" ".join(sys.argv[2:]))
"""


def test_a_secret_is_never_in_the_list_and_the_process_has_it(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(TELLS_WHAT_IT_WAS_GIVEN)
    told = tmp_path / "told"
    command = [sys.executable, str(script), str(told), "first", f"--key={SECRET}", f"--other={SECRET}:", "last"]
    with start_unseen(command, KEY, lambda: None) as process:
        seen = []
        while process.poll() is None:  # from its first moment to its last
            seen.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
    assert process.returncode == 0
    assert told.read_text().split() == ["first", f"--key={KEY}", f"--other={KEY}:", "last"]
    assert len(seen) > 10
    assert not any(KEY.encode() in one for one in seen)
    assert any(f"--key={SECRET}".encode() in one for one in seen)


def test_what_it_was_given_is_written_over_where_it_lies() -> None:
    endless = "import threading; threading.Thread(target=threading.Event().wait).start()"
    with start_unseen([sys.executable, "-c", endless, f"--key={SECRET}"], KEY, lambda: None) as process:
        environment = Path(f"/proc/{process.pid}/environ")
        assert KEY.encode() in environment.read_bytes()
        until(lambda: masked(process.pid, KEY), "the secret is written over")
        assert KEY.encode() not in environment.read_bytes()
        process.kill()


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="nowhere"):
        start_unseen(["/nowhere", SECRET], KEY, lambda: None)


def test_a_secret_is_gone_once_it_has_been_read_and_not_before() -> None:
    words = ["first", f"--key={KEY}", f"--other={KEY}", "last"]
    with subprocess.Popen(
        [sys.executable, "-c", READS_THEN_STARTS_A_THREAD, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "read\n"
        assert not masked(process.pid, KEY)
        assert shown_by(process.pid, KEY)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "started\n"
        assert masked(process.pid, KEY)
        assert not shown_by(process.pid, KEY)
        told = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[3:-1]
        hidden = "x" * len(KEY)
        assert told == ["first", f"--key={hidden}", f"--other={hidden}", "last"]
        print(file=process.stdin, flush=True)
        assert process.stdout.readline().split() == words, "the process itself has what it was given"


def test_a_process_below_another_is_seen_too() -> None:
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()', '{KEY[::-1]}'[::-1]])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE) as process:
        until(lambda: shown_by(process.pid, KEY), "the process below shows it")
        process.kill()
        process.communicate()


def test_a_process_that_has_ended_shows_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert not shown_by(process.pid, KEY)
    with pytest.raises(OSError, match="No such file"):
        masked(process.pid, KEY)
