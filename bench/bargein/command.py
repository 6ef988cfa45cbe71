"""The command line's part: suites in, tables out."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.audio import AudioFileError
from bench.bargein.results import Report, Summary, Trial
from bench.bargein.runner import play_suite
from bench.bargein.sounds import recordings_in
from bench.bargein.suite import Scenario, Suite, SuiteError, read_suite
from bench.bargein.targets import reached
from bench.caller import CallFailed
from bench.target import ROOT

SUITES = ROOT / "configs" / "bargein"
NOT_BY_DEFAULT = "small.yaml"
_REPORTS: TypeAdapter[tuple[Report, ...]] = TypeAdapter(tuple[Report, ...])


def main(args: argparse.Namespace) -> int:
    """Run the bench; the exit code."""
    try:
        suites = chosen(args.suites or _all_suites(), args.scenarios)
        beside = [report for path in args.beside for report in read_reports(path)]
        recordings = recordings_in(args.recordings) if args.recordings else []
        if args.recordings and not recordings:
            raise AudioFileError(f"{args.recordings} holds no WAV or FLAC files")
        if args.peer and args.url:
            raise CallFailed("either a URL or --peer")
        if args.calls < 1:
            raise CallFailed("--calls is at least 1")
        reports = asyncio.run(_run(args, suites, recordings))
        if args.report:
            from bench.bargein.report import write_report

            write_report(args.report, [*beside, *reports])
    except (AudioFileError, CallFailed, SuiteError, OSError) as error:
        for line in str(error).splitlines():
            print(f"vaani: {line}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps([asdict(report) for report in reports], ensure_ascii=False))
    return 0 if all(report.passed for report in reports) else 1


def chosen(paths: Sequence[Path], names: Sequence[str]) -> list[tuple[Suite, list[Scenario]]]:
    """The suites in these files, with their scenarios or those of these names. Raises SuiteError.

    A suite that has none of them is left out.
    """
    suites = [read_suite(path) for path in paths]
    known = {scenario.name for suite in suites for scenario in suite.scenarios}
    if unknown := [name for name in names if name not in known]:
        raise SuiteError(
            [f"there is no scenario {name}: known are {', '.join(sorted(known))}"
             for name in unknown]
        )  # fmt: skip
    found = [
        (suite, [one for one in suite.scenarios if not names or one.name in names])
        for suite in suites
    ]
    return [(suite, scenarios) for suite, scenarios in found if scenarios]


def read_reports(path: Path) -> tuple[Report, ...]:
    """What --json printed. Raises OSError, SuiteError."""
    try:
        return _REPORTS.validate_json(path.read_bytes())
    except ValidationError:
        raise SuiteError([f"{path}: is not what `bench bargein --json` prints"]) from None


async def _run(
    args: argparse.Namespace,
    suites: Sequence[tuple[Suite, list[Scenario]]],
    recordings: Sequence[Path],
) -> list[Report]:
    reports = []

    def note(trial: Trial) -> None:
        if trial.error:
            place = f"{trial.scenario} {trial.number}"
            print(f"vaani: {place}: {trial.error}", file=sys.stderr, flush=True)

    async with reached(args.url, args.peer, args.transport, args.overrides) as target:
        for suite, scenarios in suites:
            report = await play_suite(
                suite,
                target,
                scenarios=scenarios,
                recordings=recordings,
                seed=suite.seed if args.seed is None else args.seed,
                calls=args.calls,
                note=note,
            )
            reports.append(report)
            if not args.json:
                print(table(report), flush=True)
    return reports


def table(report: Report) -> str:
    """The report for a terminal."""
    lines = [f"{report.suite}: {report.target}, seed {report.seed}"]
    width = max(len(summary.scenario) for summary in report.summaries)
    lines.append(
        f"  {'':{width}}  trials  missed  false (an hour)  took over  stop p50/p95"
        "  response p50/p95  gap p50/p95  resumed  history"
    )
    lines += [f"  {summary.scenario:{width}}  {_row(summary)}" for summary in report.summaries]
    for check in report.checks:
        value = "nothing seen" if check.value is None else f"{check.value:g}"
        kept = "kept" if check.kept else "NOT KEPT"
        lines.append(f"  {check.scenario}: {check.metric} {value}, limit {check.limit:g}: {kept}")
    lines += [f"  {name}: {note}" for name, note in report.notes.items()]
    return "\n".join(lines)


def _row(summary: Summary) -> str:
    trials = f"{summary.trials}" + (f" ({summary.failed} failed)" if summary.failed else "")
    per_hour = "" if summary.false_per_hour is None else f" ({summary.false_per_hour:.0f})"
    false = "-" if summary.false_percent is None else f"{summary.false_percent:.1f} %{per_hour}"
    history = "-" if summary.history_error is None else f"{summary.history_error:.2f}"
    return (
        f"{trials:>6}  {_percent(summary.missed_percent):>6}  {false:>15}"
        f"  {_percent(summary.took_over_percent):>9}  {_pair(summary.stop_ms):>12}"
        f"  {_pair(summary.response_ms):>16}  {_pair(summary.gap_ms):>11}"
        f"  {_percent(summary.resumed_percent):>7}  {history:>7}"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _pair(values: tuple[float, float] | None) -> str:
    return "-" if values is None else "{:.0f}/{:.0f} ms".format(*values)


def _all_suites() -> list[Path]:
    return sorted(path for path in SUITES.glob("*.yaml") if path.name != NOT_BY_DEFAULT)
