"""What processes use, from /proc."""

import os
import subprocess
import sys

import pytest

from bench.processes import Usage, cores, descriptors, parse_stat, pin, tree

STAT = "4711 (a ) (b) R 42 1 1 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 9999 2500 1 1\n"


def test_a_line_of_stat() -> None:
    parent, usage = parse_stat(STAT)
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    assert parent == 42
    assert usage == Usage(200 / tick, 2500 * page / 1e6, 3)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc")
def test_a_process_and_its_children() -> None:
    wait = "import sys; print(flush=True); sys.stdin.read()"
    code = (
        "import subprocess as s, sys;"
        f"child = s.Popen([sys.executable, '-c', {wait!r}], stdin=s.PIPE, stdout=s.PIPE);"
        "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        found = tree(parent.pid)
        assert list(found) == [parent.pid, child]
        assert all(usage.rss_mb > 1 and usage.threads >= 1 for usage in found.values())
        assert descriptors(parent.pid) >= 3
        core = min(os.sched_getaffinity(0))
        pin(child, [core])
        pin(parent.pid, None)
        assert os.sched_getaffinity(child) == {core}
        parent.kill()
    assert tree(parent.pid) == {}
    assert descriptors(parent.pid) == 0


def test_cores_as_taskset_writes_them() -> None:
    assert [list(cores(text)) for text in ("0", "0,2", "1-3,5")] == [[0], [0, 2], [1, 2, 3, 5]]
    with pytest.raises(ValueError, match="invalid literal"):
        cores("one")
