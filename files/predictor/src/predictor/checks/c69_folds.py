"""The data gives enough rows and folds to train on."""

from __future__ import annotations

from dataclasses import replace

from predictor.checks.base import Context, Finding, name_some

GROUP = "data"
REMEDY = "Load a longer history or more symbols, or make the windows in walk_forward smaller in the configuration."


def run(context: Context) -> Finding:
    """Build the rows and folds as the training does, without training."""
    from predictor.training import dataset, research, walk_forward
    from predictor.training.research import Research, align

    config, panel = context.config, context.panel
    reason = research.unused(context.store, config)
    # The check `research` names what is malformed.
    studies = (
        Research(skipped=reason) if reason else align(replace(context.research_frames, malformed={}), panel, config)
    )
    found = dataset.build(panel, studies, config)
    skipped = walk_forward.skipped(found.plan, found.rows, config)
    sizes = f"{len(found.rows)} rows of {len(panel.symbols)} symbols, {len(found.plan)} folds"
    if len(skipped) == len(found.plan):
        reasons = [f"fold {number}: {reason}" for number, reason in skipped.items()]
        return Finding("fail", f"{sizes}, and none can be scored: {name_some(reasons)}", reasons)
    odd = [f"{one['symbol']} ({one['reason']})" for one in [*panel.left_out, *found.left_out]]
    # The first fold never has earlier out-of-sample rows.
    odd += [f"fold {number} ({reason})" for number, reason in skipped.items() if number]
    if odd:
        return Finding("warn", f"{sizes}; training leaves out {name_some(odd)}", odd)
    return Finding("pass", sizes)
