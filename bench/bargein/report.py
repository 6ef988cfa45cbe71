"""Reports of the bench as one HTML file that can be shown to others: figures, and pictures of what
was heard. It needs no script and nothing from elsewhere.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from bench.bargein.picture import draw, span
from bench.bargein.results import Check, Report, Summary, Trial
from bench.bargein.summary import LEAST

FAILED: frozenset[str | None] = frozenset({"missed", "false_interruption", "took_over", None})
"""Outcomes that were not expected."""

MAX_FAILED = 12
"""Pictures of failed trials, of a scenario."""

OUTCOMES = {
    "stopped": "stopped",
    "missed": "did not stop in time",
    "continued": "went on",
    "false_interruption": "was interrupted",
    "waited": "waited",
    "took_over": "took the turn",
    None: "the call failed",
}
METRICS = {
    "missed_percent": ("missed", "%"),
    "false_percent": ("false interruptions", "%"),
    "false_per_hour": ("false interruptions an hour", ""),
    "took_over_percent": ("turns taken in a pause", "%"),
    "stop_p50_ms": ("stop, median", "ms"),
    "stop_p95_ms": ("stop, 95th percentile", "ms"),
    "response_p50_ms": ("response, median", "ms"),
    "response_p95_ms": ("response, 95th percentile", "ms"),
    "gap_p50_ms": ("gap, median", "ms"),
    "gap_p95_ms": ("gap, 95th percentile", "ms"),
    "resumed_percent": ("resumed", "%"),
    "history_error": ("history off by", "words"),
    "failed_percent": ("calls that failed", "%"),
}
DEFINITIONS = (
    "<b>Stop</b> is the time from the first audible sound of the caller’s over the answer to the "
    "last audible one of the bot’s, before half a second of silence. An interruption is "
    "<b>missed</b> when that comes later than half a second after the caller’s words, or 1.5 "
    "seconds after they began, or when the answer goes on afterwards. <b>Response</b> is the time "
    "from the caller’s last sound to the first of what the bot says next. Where the bot is to go "
    "on, a <b>false interruption</b> is an answer that was cut, a <b>gap</b> the bot’s longest "
    "silence after the caller’s sound, its natural pauses included, and <b>resumed</b> the share "
    "of gaps after which the same answer went on. Where the caller only pauses, a bot that speaks "
    "in the pause <b>takes the turn</b>. <b>History</b> is by how many words the server’s account "
    "of what was heard is off. All but that is judged by the sound at the caller’s ear, with the "
    "server’s events, where it sends any, to tell one answer from the next. Pairs are median and "
    "95th percentile."
)


def write_report(path: Path, reports: Sequence[Report]) -> None:
    """Write the reports, those of the same suite side by side. Raises OSError."""
    path.write_text(page(reports), encoding="utf-8")


def page(reports: Sequence[Report]) -> str:
    """The file's text."""
    suites: dict[str, list[Report]] = {}
    for report in reports:
        suites.setdefault(report.suite, []).append(report)
    title = f"Barge-in: {', '.join(suites)}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_head(reports, suites)}"
        f"{''.join(_suite(name, of_it) for name, of_it in suites.items())}"
        "</body>\n</html>\n"
    )


def _head(reports: Sequence[Report], suites: dict[str, list[Report]]) -> str:
    targets = list(dict.fromkeys(report.target for report in reports))
    verdicts = "".join(
        f"<tr><th>{escape(target)}</th>{''.join(_verdict(target, suites[s]) for s in suites)}</tr>"
        for target in targets
    )
    links = "".join(f'<th><a href="#{_id(s)}">{escape(s)}</a></th>' for s in suites)
    return (
        "<header>\n<h1>Barge-in</h1>\n"
        "<p class='lead'>Scripted callers speak, or make a noise, over a bot’s answer. "
        "What they hear then is measured.</p>\n"
        f'<div class="wide"><table class="overview"><caption>Thresholds kept</caption>'
        f"<thead><tr><td></td>{links}</tr></thead><tbody>{verdicts}</tbody></table></div>\n"
        f'<p class="definitions">{DEFINITIONS}</p>\n'
        '<p class="key"><i class="caller"></i>caller <i class="bot"></i>bot '
        '<i class="stop"></i>last sound of the answer</p>\n</header>\n'
    )


def _verdict(target: str, reports: Sequence[Report]) -> str:
    checks = [check for report in reports if report.target == target for check in report.checks]
    if not any(report.target == target for report in reports):
        return "<td>–</td>"
    kept = sum(check.kept for check in checks)
    kind = "kept" if kept == len(checks) else "broken"
    return f'<td class="{kind}">{kept} of {len(checks)}</td>'


def _suite(name: str, reports: Sequence[Report]) -> str:
    seeds = sorted({report.seed for report in reports})
    targets = ", ".join(escape(report.target) for report in reports)
    notes = "".join(
        f"<li>{escape(what)}: {escape(note)}</li>"
        for what, note in dict.fromkeys(
            (what if len(reports) == 1 else f"{report.target}, {what}", note)
            for report in reports
            for what, note in report.notes.items()
        )
    )
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    scenarios = list(dict.fromkeys(trial.scenario for report in reports for trial in report.trials))
    return (
        f'<section id="{_id(name)}">\n<h2>{escape(name)}</h2>\n'
        f'<p class="lead">{escape(reports[0].description)}</p>\n'
        f'<p class="of">{targets}; seed {", ".join(map(str, seeds))}</p>\n'
        f"{_checks(reports)}{_summaries(reports)}{listed}\n"
        f"{''.join(_scenario(scenario, reports) for scenario in scenarios)}</section>\n"
    )


def _checks(reports: Sequence[Report]) -> str:
    """A row for each threshold, and what each target did with it."""
    found: dict[tuple[str, str, float], dict[int, Check]] = {}
    for index, report in enumerate(reports):
        for check in report.checks:
            found.setdefault((check.scenario, check.metric, check.limit), {})[index] = check
    if not found:
        return ""
    several = len(reports) > 1
    heads = "".join(
        f'<th class="value" colspan="2">{escape(report.target) if several else "value"}</th>'
        for report in reports
    )
    rows = "".join(
        f"<tr><th>{escape(scenario)}</th><td>{escape(_metric(metric)[0])}</td>"
        f'<td class="number">{"≥" if metric in LEAST else "≤"} {_value(metric, limit)}</td>'
        f"{''.join(_kept(values.get(index)) for index in range(len(reports)))}</tr>"
        for (scenario, metric, limit), values in found.items()
    )
    return (
        '<div class="wide"><table><caption>Thresholds</caption><thead><tr><th>scenario</th>'
        f'<th>metric</th><th class="number">limit</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>\n"
    )


def _kept(check: Check | None) -> str:
    if check is None:
        return '<td class="number">–</td><td></td>'
    value = "nothing seen" if check.value is None else _value(check.metric, check.value)
    kind, word = ("kept", "kept") if check.kept else ("broken", "not kept")
    return f'<td class="number {kind}">{value}</td><td class="word {kind}">{word}</td>'


def _metric(name: str) -> tuple[str, str]:
    return METRICS.get(name, (name.replace("_", " "), ""))


def _value(metric: str, value: float) -> str:
    unit = _metric(metric)[1]
    return f"{value:g} {unit}" if unit else f"{value:g}"


COLUMNS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("missed", lambda one: _percent(one.missed_percent)),
    ("false", lambda one: _percent(one.false_percent)),
    ("an hour", lambda one: "" if one.false_per_hour is None else f"{one.false_per_hour:.1f}"),
    ("took turn", lambda one: _percent(one.took_over_percent)),
    ("stop, ms", lambda one: _pair(one.stop_ms)),
    ("response, ms", lambda one: _pair(one.response_ms)),
    ("gap, ms", lambda one: _pair(one.gap_ms)),
    ("resumed", lambda one: _percent(one.resumed_percent)),
    ("history", lambda one: "" if one.history_error is None else f"{one.history_error:.2f}"),
    ("bot spoke", lambda one: _minutes(one.bot_seconds)),
)


def _summaries(reports: Sequence[Report]) -> str:
    """A row for each scenario and target, without columns in which nobody has anything."""
    by_target = [{one.scenario: one for one in report.summaries} for report in reports]
    names = list(dict.fromkeys(name for found in by_target for name in found))
    rows = [(name, index, found[name]) for name in names for index, found in enumerate(by_target)
            if name in found]  # fmt: skip
    columns = [(head, cell) for head, cell in COLUMNS if any(cell(one) for _, _, one in rows)]
    several = len(reports) > 1
    heads = "".join(f'<th class="number">{head}</th>' for head, _ in columns)
    body, last = [], None
    for name, index, one in rows:
        failed = f" ({one.failed} failed)" if one.failed else ""
        cells = "".join(f'<td class="number">{cell(one) or "–"}</td>' for _, cell in columns)
        target = f"<td>{escape(reports[index].target)}</td>" if several else ""
        first = "" if name == last else ' class="first"'
        shown = "" if name == last else escape(name)
        last = name
        body.append(
            f'<tr{first}><th>{shown}</th>{target}<td class="number">{one.trials}{failed}</td>'
            f"{cells}</tr>"
        )
    return (
        '<div class="wide"><table class="figures"><caption>Figures</caption><thead><tr>'
        f"<th>scenario</th>{'<th>target</th>' if several else ''}"
        f'<th class="number">trials</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>\n"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"


def _pair(values: tuple[float, float] | None) -> str:
    return "" if values is None else f"{values[0]:.0f} / {values[1]:.0f}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _scenario(name: str, reports: Sequence[Report]) -> str:
    chosen = [
        _chosen([trial for trial in report.trials if trial.scenario == name]) for report in reports
    ]
    shown = span([trial for trials, _ in chosen for _, trial in trials])
    parts = []
    for report, (trials, left_out) in zip(reports, chosen, strict=True):
        if not trials and not left_out:
            continue
        target = f"<h4>{escape(report.target)}</h4>" if len(reports) > 1 else ""
        figures = "".join(_figure(role, trial, shown) for role, trial in trials)
        more = "".join(f'<p class="more">{escape(line)}</p>' for line in left_out)
        parts.append(f'{target}<div class="figures">{figures}</div>{more}')
    return f"<h3>{escape(name)}</h3>\n{''.join(parts)}\n"


def _chosen(trials: Sequence[Trial]) -> tuple[list[tuple[str, Trial]], list[str]]:
    """The trials to draw and what each is there for; and lines about those that are not drawn."""
    held = [trial for trial in trials if trial.outcome is not None]
    ranked = sorted(
        (one for one in held if _score(one) is not None), key=lambda one: _score(one) or 0
    )
    roles: dict[int, tuple[str, Trial]] = {}

    def show(role: str, trial: Trial) -> None:
        before = f"{roles[id(trial)][0]}, " if id(trial) in roles else ""
        roles[id(trial)] = (before + role, trial)

    if ranked:
        show("median", ranked[len(ranked) // 2])
        show("worst", ranked[-1])
    elif held:
        show("one of them", held[0])
    failed = [trial for trial in held if trial.outcome in FAILED]
    for trial in failed[:MAX_FAILED]:
        show("failed", trial)
    lines = []
    if len(failed) > MAX_FAILED:
        lines.append(f"{len(failed) - MAX_FAILED} more trials failed and are not shown.")
    broken = [trial for trial in trials if trial.outcome is None]
    lines += [f"Trial {one.number}, call failed: {one.error}" for one in broken[:MAX_FAILED]]
    if len(broken) > MAX_FAILED:
        lines.append(f"{len(broken) - MAX_FAILED} more calls failed.")
    return list(roles.values()), lines


def _score(trial: Trial) -> float | None:
    """What trials of a kind are ranked by, the least first."""
    if trial.expected == "stop":
        return trial.stop_ms
    return trial.gap_ms if trial.expected == "continue" else trial.response_ms


def _figure(role: str, trial: Trial, shown: tuple[float, float] | None) -> str:
    said = f"“{trial.said}”" if trial.said else "nothing said"
    outcome = OUTCOMES[trial.outcome]
    if trial.outcome == "stopped" and trial.stop_ms is not None:
        outcome += f" in {trial.stop_ms:.0f} ms"
    elif trial.expected == "continue" and trial.gap_ms is not None:
        outcome += f", longest gap {trial.gap_ms:.0f} ms"
    elif trial.expected == "wait" and trial.response_ms is not None:
        outcome += f", response after {trial.response_ms:.0f} ms"
    caption = f"trial {trial.number}: {said}, the bot {outcome}"
    kind = ' class="failed"' if trial.outcome in FAILED else ""
    return (
        f"<figure{kind}>{draw(trial, shown, caption)}"
        f"<figcaption><b>{role}</b> {escape(caption)}</figcaption></figure>"
    )


def _id(suite: str) -> str:
    return escape("suite-" + "-".join(suite.split()))


STYLE = """
:root {
  color-scheme: light dark;
  --ground: #e9f0ef; --sheet: #f8fbfa; --edge: #cbdad7; --ink: #12312f; --soft: #4d6a67;
  --caller: #0b7a75; --bot: #c97c00; --bot-ink: #8f5800; --alarm: #b3261e;
  font: 16px/1.5 Seravek, "Gill Sans Nova", Ubuntu, Calibri, "Noto Sans", "Segoe UI",
    "Liberation Sans", "Noto Sans Telugu", "Noto Sans Devanagari", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #071a1d; --sheet: #0c2529; --edge: #1d4046; --ink: #e3efed; --soft: #93b0ad;
    --caller: #43c4b8; --bot: #f0ac33; --bot-ink: #f0ac33; --alarm: #ff8a75;
  }
}
@media print {
  :root {
    color-scheme: light;
    --ground: #fff; --sheet: #fff; --edge: #bbb; --ink: #000; --soft: #444;
    --caller: #0b7a75; --bot: #c97c00; --bot-ink: #8f5800; --alarm: #b3261e;
    font-size: 11px;
  }
  * { print-color-adjust: exact; }
}
* { box-sizing: border-box; }
body {
  max-width: 76rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem;
  background: var(--ground); color: var(--ink); font-variant-numeric: tabular-nums;
}
h1, h2, h3, h4 { margin: 0; font-weight: 400; line-height: 1.25; }
h1 { font-size: 2.1rem; letter-spacing: 0.01em; }
h2 { font-size: 1.6rem; }
h3 { margin: 2.2rem 0 0.8rem; font-size: 1.15rem; }
h4 { margin: 1rem 0 0.5rem; font-size: 0.9rem; color: var(--soft); }
a { color: inherit; text-underline-offset: 0.2em; }
.lead { margin: 0.3rem 0 0; font-size: 1.05rem; color: var(--soft); }
.of { margin: 0.2rem 0 0; font-size: 0.875rem; color: var(--soft); }
.definitions { max-width: 54rem; margin: 1.6rem 0 0; font-size: 0.9rem; color: var(--soft); }
.definitions b { font-weight: 600; color: var(--ink); }
.key { margin: 1rem 0 0; font-size: 0.875rem; color: var(--soft); }
.key i { display: inline-block; width: 0.8rem; height: 0.8rem; margin: 0 0.4rem 0 0; }
.key i:not(:first-child) { margin-left: 1.2rem; }
.key i.stop { width: 0; border-left: 2px solid var(--alarm); }
i.caller { background: var(--caller); }
i.bot { background: var(--bot); }
section {
  margin-top: 2.5rem; padding: 1.8rem 2rem 2rem;
  background: var(--sheet); border: 1px solid var(--edge); border-radius: 1.25rem;
}
.wide { margin-top: 1.5rem; overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
caption { padding: 0 0 0.4rem; text-align: left; font-size: 0.875rem; color: var(--soft); }
th, td { padding: 0.32rem 1.4rem 0.32rem 0; text-align: left; vertical-align: baseline; }
th { font-weight: 400; }
thead th { font-size: 0.8125rem; color: var(--soft); white-space: nowrap; }
tbody tr { border-top: 1px solid var(--edge); }
table.figures { width: 100%; }
table.figures tbody tr:not(.first) { border-top: 0; }
.number { text-align: right; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
.value { padding-left: 1rem; }
td.number:has(+ .word) { padding-right: 0.6rem; }
.kept.word { color: var(--caller); }
.broken { color: var(--alarm); }
.notes { margin: 1rem 0 0; padding: 0; list-style: none; font-size: 0.875rem; color: var(--soft); }
div.figures { display: grid; gap: 1.1rem 1.6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr)); }
figure { margin: 0; break-inside: avoid; }
figcaption { margin-top: 0.2rem; font-size: 0.8125rem; color: var(--soft);
  overflow-wrap: anywhere; }
figcaption b { margin-right: 0.3rem; font-weight: 600; color: var(--ink); }
.failed figcaption b { color: var(--alarm); }
.more { margin: 0.6rem 0 0; font-size: 0.875rem; color: var(--soft); }
h2, h3, h4, caption { break-after: avoid; }
tr { break-inside: avoid; }
svg.trial { display: block; width: 100%; height: auto; }
svg text { font-size: 11px; }
svg polygon.caller { fill: var(--caller); }
svg polygon.bot { fill: var(--bot); }
svg line { stroke-width: 1; }
svg line.caller { stroke: var(--caller); stroke-dasharray: 2 2; }
svg line.bot { stroke: var(--bot-ink); stroke-dasharray: 2 2; }
svg line.stop { stroke: var(--alarm); stroke-width: 1.5; }
svg line.axis { stroke: var(--edge); }
svg text.caller { fill: var(--caller); }
svg text.bot { fill: var(--bot-ink); }
svg text.stop { fill: var(--alarm); }
svg text.axis { fill: var(--soft); }
@media (max-width: 40rem) {
  body { padding: 1.2rem 0.8rem 2rem; }
  section { padding: 1.2rem 1rem; border-radius: 0.8rem; }
}
"""
