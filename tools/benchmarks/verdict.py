"""The requirements of the scan, and the report as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.benchmarks.report import Requirement, columns

#: Requests per symbol are rounded to two decimals, which hides the few for opening and listing.
REQUIRED = Requirement(
    {"symbols": 5000, "latency_ms": 20},
    "5000 symbols and 20 ms",
    {
        "ours_to_origin": (0.10, "of the origin's time"),
        "requests_per_symbol": (2.00, "requests a symbol"),
        "ours_to_floor": (1.50, "times the floor"),
    },
)


def ratios(scan: Mapping[str, Any]) -> dict[str, float]:
    """Ratios of our time to the other two, and our requests per symbol."""
    ours = scan["ours"]
    times = {f"ours_to_{way}": round(ours["seconds"] / scan[way]["seconds"], 4) for way in ("origin", "floor")}
    return {**times, "requests_per_symbol": ours["requests_per_symbol"]}


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
        yield from REQUIRED.verdict(report["required"])
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
