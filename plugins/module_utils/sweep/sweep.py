# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sweep: remove the leftovers of one run, or of every run with an expired lease, and nothing else.

Used by the module ``spot_sweep`` and by the watchdog. The tags ``project`` and ``run_id`` together identify a run;
the tag ``lease_expires`` and AWS's clock decide whether a lease has expired.
"""

from __future__ import annotations

from ..aws.client import ISO, Aws
from .instances import Instances
from .resources import Schedules, SpotRequests, Templates, TransportKeys, Volumes
from .scope import Report, Scope


def sweep(aws: Aws, scope: Scope) -> Report:
    """Remove what is in scope, kind by kind, independently of each other; safe to repeat and to run concurrently.

    Raises:
        Refused: More instances than ``at_most`` are in scope; nothing was changed.
    """
    report = Report()
    instances, requests = Instances(aws, scope, report), SpotRequests(aws, scope, report)
    instances.adopt(requests.find())
    instances.refresh()
    instances.refuse_too_many()
    instances.adopt(requests.cancel())
    instances.end()
    volumes, templates = Volumes(aws, scope, report), Templates(aws, scope, report)
    volumes.end(patiently=not instances.living())
    templates.end()
    if instances.unknown:
        report.left.update({"transport_keys": None, "schedules": None})
    else:
        TransportKeys(aws, scope, report).end(instances.dead())
        # The schedule goes last, and only if it would have nothing left to terminate.
        runs = instances.runs_ended | requests.runs | volumes.runs | templates.runs
        Schedules(aws, scope, report).end(runs, instances.runs_alive())
    now = aws.now()
    report.aws_time = now.strftime(ISO) if now else ""
    return report
