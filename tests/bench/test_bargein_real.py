"""`run.py bench bargein` as it is called: a server of its own, real calls, a report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from run import main
from tests.bench.test_call import environment

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "configs" / "bargein" / "small.yaml"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", "bench", "bargein", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_few_trials_over_webrtc(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    scenarios = ("--scenario", "words", "backchannels", "lossy", "pause")
    # All at once, with the answer that nobody speaks over.
    done = bench("--suite", SMALL, *scenarios, "--calls", "7", "--json", "--report", page)
    assert done.stderr == ""
    [report] = json.loads(done.stdout)
    assert (report["suite"], report["target"]) == ("small", "vaani over webrtc")
    found = {summary["scenario"]: summary for summary in report["summaries"]}
    assert list(found) == ["words", "backchannels", "pause", "lossy", "all"]
    assert found["all"]["failed"] == 0
    assert found["words"]["missed_percent"] == found["lossy"]["missed_percent"] == 0
    assert found["pause"]["took_over_percent"] == 0
    assert found["words"]["stop_ms"][0] > 0
    for trial in report["trials"]:
        assert len(trial["bot_track"]) > 100
        assert max(trial["bot_track"]) > -30
        assert max(trial["caller_track"]) > -30
    kept = all(check["kept"] for check in report["checks"])
    assert done.returncode == (0 if kept else 1)
    assert "<svg" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--suite", "none.yaml"), "none.yaml: cannot be read: No such file or directory"),
        (("--suite", SMALL, "--scenario", "wrods"), "there is no scenario wrods: known are "),
        (("--suite", SMALL, "--recordings", ROOT / "docs"), "docs holds no WAV or FLAC files"),
        (("http://a", "--suite", SMALL, "--peer", "pipecat"), "either a URL or --peer"),
        (("--suite", SMALL, "--beside", SMALL), "is not what `bench bargein --json` prints"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str | Path, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "bargein", *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("vaani: ")
    assert said in line
