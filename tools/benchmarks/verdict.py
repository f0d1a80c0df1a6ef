"""The requirements of the scan, and the report as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

POINT = {"symbols": 5000, "latency_ms": 20}
"""The point at which the limits apply."""

LIMITS = {"ours_to_origin": 0.10, "requests_per_symbol": 2.00, "ours_to_floor": 1.50}
"""Upper limits. Requests per symbol are rounded to two decimals, which hides the few for opening and listing."""

_MEANING = {
    "ours_to_origin": "of the origin's time",
    "requests_per_symbol": "requests a symbol",
    "ours_to_floor": "times the floor",
}


def ratios(scan: Mapping[str, Any]) -> dict[str, float]:
    """Ratios of our time to the other two."""
    ours = scan["ours"]["seconds"]
    return {f"ours_to_{way}": round(ours / scan[way]["seconds"], 4) for way in ("origin", "floor")}


def judge(scans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the scan at the required point with the limits.

    Returns:
        `symbols`, `latency_ms`, `limits`, `failures` (texts), and `met`: None if that point was not measured.
    """
    found = [scan for scan in scans if all(scan[name] == value for name, value in POINT.items())]
    failures = []
    for scan in found:
        values = {**scan, "requests_per_symbol": scan["ours"]["requests_per_symbol"]}
        failures += [
            f"{values[name]:.2f} {_MEANING[name]} (at most {limit:.2f})"
            for name, limit in LIMITS.items()
            if values[name] > limit
        ]
    return {**POINT, "limits": LIMITS, "failures": failures, "met": not failures if found else None}


def tables(report: Mapping[str, Any]) -> Iterator[str]:
    """The whole report as lines of text."""
    settings = report["settings"]
    if report["scans"]:
        yield "Freshness scan"
        yield from columns(_scan_rows(report["scans"]))
        yield f"Times are the best of {settings['repeats']}, memory the highest; the three ways were measured in turn,"
        threads = report["scans"][0]["ours"]["io_threads"]
        yield f"each in its own process, ours and the floor with {threads} concurrent requests."
        if any(scan["origin"]["sampled"] for scan in report["scans"]):
            yield f"~ scaled: the origin's way read {settings['sample']} symbols, evenly spread, after its whole list."
        yield from _verdict(report["required"])
    for one in report["preflight"]:
        yield ""
        yield f"predictor preflight, {one['symbols']} symbols, {one['latency_ms']:g} ms: {one['seconds']:.2f} s"
        yield from columns([(each["name"], each["status"], f"{each['seconds']:.2f} s") for each in one["checks"]])
    if one := report["playbook"]:
        yield ""
        yield f"ansible-playbook train.yml -e preflight_only=true: {one['outcome']}"
        boot = f"without the {one['boot_seconds']:.1f} s to request and boot the instance"
        yield f"  {one['seconds_without_boot']:.1f} s in all, {boot}"
        yield from columns([(each["name"], each["status"], f"{each['seconds'] or 0:.1f} s") for each in one["steps"]])


def _scan_rows(scans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield ("symbols", "added", "ours", "origin", "floor", "ours/", "ours/", "requests a symbol", "", "peak MiB", "", "")
    yield ("", "ms", "s", "s", "s", "origin", "floor", "ours", "origin", "ours", "origin", "floor")
    for scan in scans:
        ours, origin, floor = (scan[way] for way in ("ours", "origin", "floor"))
        yield (
            str(scan["symbols"]),
            f"{scan['latency_ms']:g}",
            f"{ours['seconds']:.2f}",
            f"{'~' if origin['sampled'] else ''}{origin['seconds']:.2f}",
            f"{floor['seconds']:.2f}",
            f"{scan['ours_to_origin']:.3f}",
            f"{scan['ours_to_floor']:.2f}",
            f"{ours['requests_per_symbol']:.2f}",
            f"{origin['requests_per_symbol']:.2f}",
            *(f"{each['peak_mib']:.0f}" for each in (ours, origin, floor)),
        )


def _verdict(required: Mapping[str, Any]) -> Iterator[str]:
    where = f"{required['symbols']} symbols and {required['latency_ms']} ms"
    if required["met"] is None:
        yield f"No requirement applies: {where} were not measured."
    elif required["met"]:
        limits = ", ".join(f"at most {limit:.2f} {_MEANING[name]}" for name, limit in required["limits"].items())
        yield f"Required at {where}, and met: {limits}."


def columns(rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Format rows as lines, numbers right-aligned, words left-aligned."""
    rows = list(rows)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if cell[:1].isalpha() and not _numeric(rows, place) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()


def _numeric(rows: Sequence[tuple[str, ...]], place: int) -> bool:
    return rows[-1][place][:1] in "~0123456789"
