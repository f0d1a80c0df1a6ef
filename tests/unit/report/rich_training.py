"""Artificial results of trainings: one with every part, one of another project with few parts."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta
from typing import Any

FEATURES = {
    "volatility": ("rv20", "rv5", "rv60", "range20", "downside20", "rv120"),
    "meta": ("predicted_volatility", "momentum_score", "m20", "price_vs_ma50", "rsi14", "m5", "m60", "volume_trend"),
}


def everything(folds: int = 12, promoted: bool = True) -> dict[str, Any]:
    """Return the result of a training with every part, always the same."""
    chance = random.Random(5)
    fold_ics = [_fold(number, round(chance.gauss(0.03, 0.035), 6)) for number in range(1, folds + 1)]
    ics = sorted(fold["ic"] for fold in fold_ics)
    median = ics[folds // 2]
    incumbent = [
        {"fold": fold["fold"], "ic": fold["ic"], "incumbent_ic": round(fold["ic"] - chance.gauss(0.004, 0.02), 6),
         "days": 126}
        for fold in fold_ics
    ]  # fmt: skip
    replaced = {"version": "2022-12-22-20221222T090000Z-a1b2c3", "run_id": "20221222T090000Z-a1b2c3"}
    return {
        "folds": folds,
        "median_ic": median,
        "median_ic_interval": [ics[folds // 4], ics[3 * folds // 4]],
        "promoted": promoted,
        "gates": gates(median, promoted),
        "seconds": 212.4,
        "dry_run": False,
        "fold_ics": fold_ics,
        "skipped_folds": [{"fold": 0, "reason": "layer 1 only: 0 out-of-sample rows before it"}],
        "left_out": [{"symbol": "NEW", "reason": "12 days with a price, 504 are needed"}],
        "diagnostics": {
            "cumulative_ic": _curve(chance),
            "calibration": [_bin(place, chance) for place in range(10)],
            "importance": [entry for model, names in FEATURES.items() for entry in _shares(model, names)],
        },
        "incumbent": {
            **replaced,
            "run_date": "2022-12-22",
            "folds": incumbent,
            "median_difference": 0.0041,
            "detail": "better in 8 of 12 folds; median difference +0.0041 over 1,512 days",
        },
        "data_changes": {
            "since_preflight": {"changed": []},
            "since_last_run": {
                "run_date": "2022-12-22",
                "run_id": replaced["run_id"],
                "added": ["NEW"],
                "removed": ["GONE", "OLD"],
                "revised": [_revised(symbol) for symbol in ("AAPL", "MSFT", "XOM")],
            },
        },
        "promotion": {
            "version": "2022-12-29-20221229T090000Z-0a1b2c",
            "prefix": "predictor/weights/meta/versions/2022-12-29-20221229T090000Z-0a1b2c",
            "manifest_etag": '"9b2cf535f27731c974343645a3985328"',
            "replaced": replaced,
        }
        if promoted
        else None,
        "heartbeat": {"sent": True, "detail": "AlphaEngine/Heartbeat with Process=predictor-training"},
        "written": ["predictor/metrics/training_summary_2022-12-29.json", "predictor/weights/meta/manifest.json"],
        "symbols": 20,
        "rows": 61234,
        "research": "skipped: library 'research' does not exist",
        "stages": {"read": 1.0},
        "resources": {"peak_memory_mb": 412.0, "disk_mb": 3.1},
        "resumed_folds": 0,
        "notes": [],
        "error": None,
    }


def of_another_project() -> dict[str, Any]:
    """Return the result of another project: metrics, but no folds and no gates."""
    return {"promoted": True, "seconds": 12.5, "metrics": {"accuracy": 0.9123, "rows": 1500}}


def gates(median: float, promoted: bool) -> list[dict[str, Any]]:
    """Return the verdicts of all gates."""
    verdicts = [
        ("median_ic", median, 0.02 if promoted else 0.2, True, "over 12 folds"),
        ("short_history", 0.0312, 0.0, True, "volatility model +0.4312, 20-day volatility +0.4000, 812 rows"),
        ("beats_incumbent", 0.0041, 0.0, True, "the median fold is better by 0.0041"),
        ("output_distribution", 0.0042, 0.001, False, "standard deviation of the last forecasts, 61 different ones"),
        ("triple_barrier", 0.93, 1.15, False, "IC +0.0310 with triple-barrier labels, +0.0333 with fixed, 840 pairs"),
    ]  # fmt: skip
    return [
        {"name": name, "value": value, "threshold": threshold, "passed": value >= threshold, "blocking": blocking,
         "detail": detail}
        for name, value, threshold, blocking, detail in verdicts
    ]  # fmt: skip


def _fold(number: int, ic: float) -> dict[str, Any]:
    start = date(2010, 1, 4) + timedelta(days=182 * number)
    return {
        "fold": number,
        "test_start": start.isoformat(),
        "test_end": (start + timedelta(days=181)).isoformat(),
        "ic": ic,
        "ic_low": round(ic - 0.045, 6),
        "ic_high": round(ic + 0.045, 6),
    }


def _curve(chance: random.Random) -> list[dict[str, Any]]:
    total, points = 0.0, []
    for place in range(400):
        total += chance.gauss(0.12, 0.9)
        points.append({"date": (date(2010, 7, 5) + timedelta(days=5 * place)).isoformat(), "value": round(total, 6)})
    return points


def _bin(place: int, chance: random.Random) -> dict[str, Any]:
    forecast = (place - 4.5) / 1000
    realised = forecast * 0.7 + chance.gauss(0, 0.0006)
    half = 0.0018 + 0.0004 * math.fabs(place - 4.5)
    return {
        "forecast": round(forecast, 6),
        "realised": round(realised, 6),
        "low": round(realised - half, 6),
        "high": round(realised + half, 6),
        "rows": 5000,
    }


def _shares(model: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    whole = sum(0.6**place for place in range(len(names)))
    found = []
    for place, name in enumerate(names):
        mean = 0.6**place / whole
        spread = {"mean": round(mean, 6), "low": round(0.5 * mean, 6), "high": round(1.3 * mean, 6)}
        found.append({"model": model, "feature": name, **spread, "folds": 12})
    return found


def _revised(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol, "from": 3, "to": 4, "bars_from": 8310, "bars_to": 8315, "last_from": "2022-12-21",
        "last_to": "2022-12-28",
    }  # fmt: skip
